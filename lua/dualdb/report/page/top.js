// The verdict on all models, and what it rests on.

const SIGNS = { equal: "=", different: "\u2260", not_verified: "?" };

const narrowings = () => [...new Set(models.flatMap((model) => model.narrowed))];
const sampled = () => models.some((model) => model.sample);

function sentence() {
  const number = allDifferences();
  const unsure = models.filter((model) => model.verdict === "not_verified").length;
  const parts = [];
  if (unsure) {
    parts.push(models.length === 1 ? "It could not be verified."
      : `${count(unsure)} of ${plural(models.length, "model")} could not be verified.`);
  }
  if (number) {
    const kinds = ["missing", "extra", "changed"].filter(sum)
      .map((kind) => `${count(sum(kind))} ${kind}`);
    const where = models.length === 1 ? ""
      : ` in ${models.filter(differences).length} of ${plural(models.length, "model")}`;
    const pending = sum("pending") ? `; ${count(sum("pending"))} of them pending` : "";
    const rows = narrowings().length ? `${count(number)} of the rows that were compared`
      : plural(number, "row");
    parts.push(`${rows} ${number === 1 ? "differs" : "differ"}${where}: `
      + `${kinds.join(", ")}${pending}.`);
  } else if (run.verdict === "equal") {
    parts.push(narrowings().length
      ? "Every row that was compared is the same on both sides; not all of them were."
      : "Every row is the same on both sides.");
  }
  return parts.join(" ");
}

const fact = (name, ...content) => el("div", {}, el("dt", {}, name), el("dd", {}, ...content));

const seconds = (number) => (number < 60 ? `${number.toFixed(number < 10 ? 2 : 1)} s`
  : `${Math.floor(number / 60)} min ${Math.round(number % 60)} s`);

function sampleText(sample) {
  const seed = sample.seed === undefined ? null : `seed ${sample.seed}`;
  return [`drawn ${sample.drawn_by}`, seed, sample.confidence].filter(Boolean).join("; ");
}

function coverage() {
  const covered = (name) => models.reduce((total, model) =>
    total + ((model.coverage || {})[name] || 0), 0);
  const columns = covered("columns"), of = covered("of_columns");
  const samples = new Set(models.filter((model) => model.sample)
    .map((model) => sampleText(model.sample)));
  const narrowed = narrowings();
  return el("dl", { class: "facts" },
    fact("models", count(models.length)),
    fact("rows read", `${count(sum("rows_primary"))} primary`, el("br"),
      `${count(sum("rows_secondary"))} secondary`),
    fact("chunks", count(covered("chunks")), covered("chunks_not_verified")
      ? `, ${count(covered("chunks_not_verified"))} not verified` : ""),
    fact("columns", !columns ? "none" : columns === of ? `all ${count(of)}`
      : `${count(columns)} of ${count(of)}`),
    fact("narrowed to", narrowed.length
      ? el("span", { class: "narrow" }, narrowed.join("; ")) : "nothing: whole tables"),
    ...[...samples].map((text) => fact("sample", el("span", { class: "narrow" }, text))));
}

function server(name, side) {
  const place = [side.host, side.port].filter(Boolean).join(":");
  const where = [place, side.user && `as ${side.user}`].filter(Boolean).join(", ");
  return el("div", { class: "server" }, el("small", {}, name),
    el("b", {}, side.database || "?"),
    el("span", {}, side.product ? `${side.product} ${side.version}` : "did not answer"),
    el("span", { class: "place" }, where));
}

function top() {
  const when = run.started.replace("T", " ").replace("Z", " UTC");
  const record = [...new Set(models.map((model) => model.run).filter(Boolean))];
  return el("header", { class: `top ${run.verdict}` },
    el("div", { class: "line" }, el("span", {}, el("b", {}, "dualdb"), " verify"),
      el("span", {}, run.project)),
    el("div", { class: "hero" },
      el("div", {}, el("h1", {}, VERDICTS[run.verdict],
        narrowings().length ? el("span", { class: "narrowed" },
          sampled() ? " in a sample" : " where it was compared") : null),
      el("p", { class: "lead" }, sentence())),
      coverage()),
    el("div", { class: "servers" }, server("primary", run.primary),
      el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[run.verdict]),
      server("secondary", run.secondary)),
    el("p", { class: "by" }, [when, `took ${seconds(run.seconds)}`,
      `by ${run.user} on ${run.host}`, `dualdb ${run.version}`,
      record.length === 1 && `run ${record[0]}`].filter(Boolean).join(" \u00b7 ")));
}

