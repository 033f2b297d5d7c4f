// All models in a table, and each that is not equal by itself.

const MOST_SECTIONS = 8;

const verdictMark = (verdict) => el("span", { class: `verdict ${verdict}` }, VERDICTS[verdict]);

const number = (value) => el("td", { class: value ? "number" : "number zero" }, count(value || 0));

function modelLine(model) {
  const chosen = model.model === state.model;
  return el("tr", { class: chosen ? "chosen" : null },
    el("th", { scope: "row" }, el("button", { type: "button", "aria-label": model.model,
      "aria-pressed": String(chosen),
      onclick: () => change({ model: chosen ? "" : model.model, part: null, column: "" }) },
      model.model)),
    el("td", {}, verdictMark(model.verdict)),
    el("td", { class: "wide" }, strip(model)),
    number(Math.max(model.rows_primary, model.rows_secondary)), number(model.missing),
    number(model.extra), number(model.changed), number(model.pending), number(model.not_verified),
    el("td", { class: "number" }, seconds(model.seconds)));
}

function modelTable() {
  const heads = ["model", "verdict", "key space", "rows", "missing", "extra", "changed", "pending",
    "not verified", "time"];
  const classOf = (i) => (i > 2 ? "number" : i === 2 ? "wide" : null);
  return el("section", { class: "models", "aria-label": "models" }, el("table", {},
    el("caption", { class: "aside" }, "verdict and counts of every model"),
    el("thead", {}, el("tr", {}, ...heads.map((text, i) =>
      el("th", { scope: "col", class: classOf(i) }, text)))),
    el("tbody", {}, ...models.map(modelLine))));
}

function bars(model) {
  const list = Object.entries(model.changed_columns || {}).sort((a, b) => b[1] - a[1]);
  if (!list.length) return null;
  const most = list[0][1], still = model.columns.length - model.key.length - list.length;
  const lines = list.map(([name, rows]) => {
    const bar = el("i", { "aria-hidden": "true" });
    bar.style.width = `${Math.max(1, (100 * rows) / most)}%`;
    const chosen = state.model === model.model && state.column === name;
    return el("li", {}, el("button", { type: "button", "aria-pressed": String(chosen),
      "aria-label": `${name}: changed in ${plural(rows, "row")}`,
      onclick: () => change({ model: model.model, column: chosen ? "" : name }) },
      el("span", { class: "name" }, name), el("span", { class: "track" }, bar),
      el("span", { class: "number" }, count(rows))));
  });
  return el("div", { class: "columns" }, el("h3", {}, "Changed columns"), el("ol", {}, ...lines),
    still > 0 ? el("p", { class: "still" }, `${plural(still, "other column")} without a change`)
      : null);
}

// Why parts could not be verified, the same reasons together.
function reasons(model) {
  const found = new Map();
  for (const part of model.map) {
    if (part.reason) found.set(part.reason, [...(found.get(part.reason) || []), part]);
  }
  return [...found].map(([reason, parts]) => [plural(parts.length, "part"),
    `${reason}: ${rangeText(model, parts[0])}`
      + (parts.length > 1 ? ` and ${count(parts.length - 1)} more` : "")]);
}

function notes(model) {
  const policies = Object.entries(model.policies || {})
    .map(([name, values]) => `${count(values)} by ${name}`);
  const list = [
    ["Not verified", model.verdict === "not_verified"
      && (model.reason || (model.error || {}).message)],
    ...reasons(model),
    ["Narrowed to", model.narrowed.join("; ")],
    ["Sample", model.sample && sampleText(model.sample)],
    ["Method", model.method_reason && `${model.method}: ${model.method_reason}`],
    ["Not compared", model.uncovered.length
      && `columns that only the secondary has: ${model.uncovered.join(", ")}`],
    ["By policy", policies.length
      && `values changed before they were compared: ${policies.join(", ")}`],
    ["Quarantine", model.quarantined
      && `${plural(model.quarantined, "row")} of these the secondary cannot hold`],
  ].filter((pair) => pair[1]);
  return list.length ? el("dl", { class: "notes" }, ...list.map((pair) => fact(...pair))) : null;
}

function modelSection(model) {
  const names = model.table || {};
  const tables = names.primary === names.secondary ? names.primary
    : `${names.primary} \u2194 ${names.secondary}`;
  const chosen = state.model === model.model ? state.part : null;
  return el("section", { class: "model", "aria-label": model.model },
    el("h2", {}, model.model, " ", verdictMark(model.verdict)),
    el("p", { class: "about" }, [tables, `${count(model.rows_primary)} rows on the primary`,
      `${count(model.rows_secondary)} on the secondary`, plural(model.chunks, "chunk"),
      plural(model.columns.length, "column"), model.method].filter(Boolean).join(" \u00b7 ")),
    notes(model),
    model.map.length ? el("div", { class: "findings" },
      el("div", { class: "space" },
        keySpace(model, chosen, (part) => change({ model: model.model, part })), legend(model),
        chosen !== null ? selection(model, chosen) : null),
      bars(model)) : null);
}

function sections() {
  const list = models.filter((model) => (state.model ? model.model === state.model
    : model.verdict !== "equal" || models.length === 1));
  const drawn = list.slice(0, MOST_SECTIONS).map(modelSection);
  if (list.length > drawn.length) {
    drawn.push(el("p", { class: "none" },
      `${count(list.length - drawn.length)} more: choose a model in the table.`));
  }
  return drawn;
}

