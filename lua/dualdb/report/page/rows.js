// The differences, side by side.

const AT_ONCE = 40;
const COLUMNS_SHOWN = 6; // of a row that one side alone has

const badge = (kind) => el("span", { class: `kind ${kind}` }, NAMES[kind] || kind);

function columnHead(column) {
  const name = el("bdi", {});
  draw(name, tokens(column.name, "text"), "text", false);
  return el("th", { scope: "row", role: "rowheader" }, name, " ", el("small", {}, column.kind));
}

const cell = (label, content, kind) =>
  el("td", { role: "cell", "data-side": label, class: kind }, content);

function line(column, a, b, kind) {
  return el("tr", { role: "row", class: kind }, columnHead(column), cell("primary", a),
    cell("secondary", b));
}

function table(caption, lines) {
  return el("table", { class: "sides", role: "table", "aria-label": caption },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" },
      ...["column", "primary", "secondary"].map((text) =>
        el("th", { scope: "col", role: "columnheader" }, text)))),
    el("tbody", { role: "rowgroup" }, ...lines));
}

const absent = () => el("span", { class: "absent" }, "no row");

// Lines that are drawn when they are asked for.
function later(text, body, make) {
  const button = el("button", { type: "button", class: "more" }, text);
  button.addEventListener("click", () => {
    const lines = make();
    body.append(...lines);
    button.remove();
    const head = lines[0] && lines[0].querySelector("th");
    if (head) {
      head.tabIndex = -1;
      head.focus();
    }
  });
  return button;
}

function changedTable(model, one, caption) {
  const lines = one.changed.map(([index, a, b]) => {
    const column = model.columns[index];
    const [left, right] = both(a, b, column.kind);
    return line(column, left, right, "differs");
  });
  const drawn = table(caption, lines);
  if (!one.same.length) return [drawn, null];
  return [drawn, later(`${plural(one.same.length, "equal column")}`, drawn.tBodies[0], () =>
    one.same.map(([index, value]) => {
      const column = model.columns[index];
      return line(column, single(value, column.kind), single(value, column.kind), "same");
    }))];
}

function lonelyTable(model, one, caption) {
  const missing = one.kind === "missing";
  const lines = (from, to) => one.row.slice(from, to).map((value, i) => {
    const column = model.columns[from + i], shown = single(value, column.kind);
    const sides = missing ? [shown, absent()] : [absent(), shown];
    return line(column, ...sides, "lonely");
  });
  const most = one.row.length <= COLUMNS_SHOWN + 2 ? one.row.length : COLUMNS_SHOWN;
  const drawn = table(caption, lines(0, most));
  if (most === one.row.length) return [drawn, null];
  return [drawn, later(plural(one.row.length - most, "more column"), drawn.tBodies[0],
    () => lines(most))];
}

function keyLine(model, one) {
  const parts = model.key.flatMap((name, i) => [
    i ? el("span", { class: "and" }, ", ") : null,
    el("span", { class: "key-name" }, `${name} `), single(one.key[i], kindOf(model, name)),
  ]);
  return el("h3", {}, el("span", { class: "of" }, `${model.model} `), ...parts);
}

function drawDifference(model, one) {
  const name = `${one.kind}: ${keyText(model, one.key)}`;
  const [content, more] = one.changed ? changedTable(model, one, name)
    : one.row ? lonelyTable(model, one, name) : [null, null];
  return el("article", { class: `difference ${one.kind}${one.pending ? " pending" : ""}` },
    el("header", {}, badge(one.kind), one.pending ? badge("pending") : null, keyLine(model, one),
      el("span", { class: "where" }, more, one.part !== undefined && model.map.length > 1
        ? `part ${count(one.part + 1)}` : null)),
    one.reason ? el("p", { class: "reason" }, `The secondary cannot hold it: ${one.reason}`)
      : one.changed && !one.changed.length
        ? el("p", { class: "reason" }, "The condition holds on one side only.") : null,
    content);
}

// ---- which of them ----

function haystack(model, one) {
  if (one.text === undefined) {
    const values = [...one.key, ...(one.row || []), ...(one.same || []).map((pair) => pair[1])];
    for (const [, a, b] of one.changed || []) values.push(a, b);
    one.text = values.map(plain).concat(one.reason || "").join("\n").toLowerCase();
  }
  return one.text;
}

function fits(model, one, state) {
  if (state.kind === "pending" ? !one.pending : state.kind && one.kind !== state.kind) return false;
  if (state.part !== null && one.part !== state.part) return false;
  if (state.column) {
    const touches = (pair) => model.columns[pair[0]].name === state.column;
    if (!(one.changed || []).some(touches)) return false;
  }
  return !state.q || haystack(model, one).includes(state.q.toLowerCase());
}

function selected(models, state) {
  const list = [];
  for (const model of models) {
    if (state.model && model.model !== state.model) continue;
    for (const one of model.differences) if (fits(model, one, state)) list.push([model, one]);
  }
  return list;
}

// How many there are beyond those in the page, and where.
function beyond(models, state) {
  const lines = [];
  for (const model of models) {
    if (state.model && model.model !== state.model) continue;
    const left = differences(model) - model.differences.length;
    if (left <= 0) continue;
    const shown = new Map();
    for (const one of model.differences) shown.set(one.part, (shown.get(one.part) || 0) + 1);
    const places = model.map.map((part, i) => [i, differences(part) - (shown.get(i) || 0)])
      .filter((place) => place[1] > 0).sort((a, b) => b[1] - a[1]);
    const where = places.slice(0, 3).map(([i, number]) =>
      `${count(number)} where ${rangeText(model, model.map[i])}`);
    if (places.length > 3) where.push(`the rest in ${plural(places.length - 3, "other part")}`);
    const known = places.length && model.map.length > 1 && !shown.has(undefined);
    lines.push(el("p", { class: "beyond" },
      el("b", {}, `${plural(left, "more difference")} of ${model.model}`),
      ` ${left === 1 ? "is" : "are"} not in this page${known ? `: ${where.join("; ")}` : ""}.`,
      " A report in FILE.jsonl has every one."));
  }
  return lines;
}

// Draws the list into `node`, more of it when that is asked for.
function drawRows(node, models, state) {
  const list = selected(models, state);
  node.replaceChildren();
  let drawn = 0;
  const more = el("button", { type: "button", class: "more page-more" });
  const next = () => {
    const some = list.slice(drawn, drawn + AT_ONCE).map((pair) => drawDifference(...pair));
    drawn += some.length;
    more.before(...some);
    more.hidden = drawn >= list.length;
    more.textContent = `Show ${count(Math.min(AT_ONCE, list.length - drawn))} more`
      + ` of ${count(list.length - drawn)}`;
    return some[0];
  };
  more.addEventListener("click", () => {
    const first = next();
    first.tabIndex = -1;
    first.focus();
  });
  node.append(more);
  next();
  if (!list.length) {
    node.prepend(el("p", { class: "none" }, "No difference in this page is like that."));
  }
  node.append(...beyond(models, state));
  return list.length;
}

