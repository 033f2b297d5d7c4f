// The filters, and all of it together.

const rows = el("div", { class: "rows" });
const found = el("p", { class: "found", role: "status" });
const search = el("input", { type: "search", name: "q", placeholder: "text in a key or a value",
  oninput: () => change({ q: search.value }) });
const clear = el("button", { type: "button", class: "clear",
  onclick: () => change({ model: "", kind: "", column: "", q: "", part: null }) }, "Clear");

const choices = {};
function choice(name, label) {
  choices[name] = el("select", { name, onchange: () => {
    const chosen = { [name]: choices[name].value };
    change(name === "model" ? { ...chosen, part: null, column: "" } : chosen);
  } });
  return el("label", {}, el("span", {}, label), choices[name]);
}

const filters = el("form", { class: "filters", role: "search", "aria-label": "differences",
  onsubmit: (event) => event.preventDefault() },
  choice("model", "model"), choice("kind", "kind"), choice("column", "changed column"),
  el("label", { class: "search" }, el("span", {}, "search"), search), clear);

function offer(name, list) {
  const node = choices[name];
  node.replaceChildren(...list.map(([value, text]) => el("option", { value }, text)));
  node.value = state[name];
}

function drawFilters() {
  const model = models.find((one) => one.model === state.model);
  const columns = new Set((model ? [model] : models).flatMap((one) =>
    Object.keys(one.changed_columns || {})));
  if (state.column) columns.add(state.column);
  offer("model", [["", "all models"], ...models.map((one) => [one.model, one.model])]);
  offer("kind", [["", "all kinds"], ...["missing", "extra", "changed", "pending"].map((kind) =>
    [kind, NAMES[kind]])]);
  offer("column", [["", "any"], ...[...columns].sort().map((name) => [name, name])]);
  if (search.value !== state.q) search.value = state.q;
  clear.disabled = !WORDS.some((name) => state[name]) && state.part === null;
}

// ---- all of it ----

const upper = el("div", {});
const lower = el("div", {});
const list = el("section", { class: "list", "aria-label": "differences" },
  el("h2", {}, "Differences"), filters, found, rows);

let shown = null; // of the state, what the upper parts show

function showUpper() {
  const wanted = JSON.stringify([state.model, state.part, state.column]);
  if (wanted === shown) return;
  shown = wanted;
  hideTip();
  const focused = document.activeElement && document.activeElement.getAttribute("aria-label");
  upper.replaceChildren(...(models.length > 1 ? [modelTable()] : []));
  lower.replaceChildren(...sections());
  const again = focused && [...document.querySelectorAll("button[aria-label]")].find((node) =>
    node.getAttribute("aria-label") === focused);
  if (again) again.focus({ preventScroll: true });
}

function show() {
  showUpper();
  drawFilters();
  const fitting = drawRows(rows, models, state), all = inPage();
  found.textContent = fitting === all
    ? `${plural(all, "difference")} of ${count(allDifferences())}`
    : `${count(fitting)} of the ${plural(all, "difference")} in this page`;
  root.dataset.ready = String(fitting);
}

document.title = `${VERDICTS[run.verdict]}: ${run.project}, dualdb verify`;
list.hidden = !inPage();
document.getElementById("page").append(top(), upper, lower, list);
document.body.append(tip);
addEventListener("hashchange", () => {
  state = readState();
  show();
});
show();
