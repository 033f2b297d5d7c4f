// The key space of a model: a cell for each part, coloured by what differs there.

const KINDS = ["missing", "extra", "changed", "pending", "unverified"];
const NAMES = { missing: "missing", extra: "extra", changed: "changed", pending: "pending",
  unverified: "not verified", equal: "equal" };
const MEANS = {
  missing: "on the primary only", extra: "on the secondary only", changed: "on both, not the same",
  pending: "in the journal: a replay mends it", unverified: "could not be judged",
};

function keyText(model, values) {
  if (!values) return null;
  const texts = values.map((value, i) => {
    if (value === null) return "NULL";
    const list = tokens(value, kindOf(model, model.key[i])).map((token) =>
      leftOut(token) ? "\u2026" : token.replace(/^\0byte:/, "\\x")
        .replace(/[\u0000-\u001f]/g, (one) => String.fromCharCode(0x2400 + one.charCodeAt(0))));
    const text = list.map((token) => (UNSEEN.test(token) ? code(token) : token));
    return text.length > 36 ? text.slice(0, 34).join("") + "\u2026" : text.join("");
  });
  return texts.length === 1 ? texts[0] : `(${texts.join(", ")})`;
}

const kindOf = (model, name) => (model.columns.find((column) => column.name === name) || {}).kind;

// What a part has of each kind. A pending difference is counted as that, whatever else it is.
function kindsOf(part) {
  const pending = part.pending || 0;
  const others = part.missing + part.extra + part.changed - pending;
  const found = {};
  for (const kind of ["missing", "extra", "changed"]) {
    if (part[kind] > 0 && others > 0) found[kind] = part[kind];
  }
  if (pending > 0) found.pending = pending;
  if (part.reason || part.not_verified > 0) found.unverified = part.not_verified || 1;
  return found;
}

const differences = (part) => part.missing + part.extra + part.changed;

function rangeText(model, part) {
  const first = keyText(model, part.first), last = keyText(model, part.last);
  const name = model.key.join(", ");
  if (first !== null && last !== null) return `${name} after ${first} through ${last}`;
  if (last !== null) return `${name} through ${last}`;
  if (first !== null) return `${name} after ${first}`;
  return model.map.length > 1 ? "a share of the keys, by their digests" : "all keys";
}

function countsText(part) {
  const list = [];
  for (const kind of ["missing", "extra", "changed"]) {
    if (part[kind]) list.push(`${count(part[kind])} ${kind}`);
  }
  if (part.pending) list.push(`${count(part.pending)} of them pending`);
  if (part.not_verified) list.push(`${plural(part.not_verified, "row")} not verified`);
  if (part.reason) list.push(`not verified: ${part.reason}`);
  return list.join(", ") || "equal";
}

function paint(node, part) {
  const kinds = KINDS.filter((kind) => kindsOf(part)[kind]);
  node.classList.add("cell", ...(kinds.length ? kinds : ["equal"]));
  if (kinds.length < 2) return;
  const stops = kinds.map((kind, i) => {
    const colour = `var(--${kind})`;
    return `${colour} ${(100 * i) / kinds.length}% ${(100 * (i + 1)) / kinds.length}%`;
  });
  node.classList.add("mixed");
  node.style.background = `linear-gradient(135deg, ${stops.join(", ")})`;
}

// The same in little, for the table of all models: neighbours together.
function strip(model) {
  const most = 60, size = Math.ceil(model.map.length / most) || 1;
  const node = el("span", { class: "strip", "aria-hidden": "true" });
  for (let i = 0; i < model.map.length; i += size) {
    const sum = { missing: 0, extra: 0, changed: 0, pending: 0, not_verified: 0 };
    for (const part of model.map.slice(i, i + size)) {
      for (const name of Object.keys(sum)) sum[name] += part[name] || 0;
      sum.reason = sum.reason || part.reason;
    }
    const cell = el("i", {});
    paint(cell, sum);
    node.append(cell);
  }
  return node;
}

const tip = el("div", { class: "tip", "aria-hidden": "true", hidden: true });

const partName = (model, number) => (model.map.length > 1
  ? `Part ${count(number + 1)} of ${count(model.map.length)}` : "The whole");

function showTip(cell, model, part, number) {
  tip.replaceChildren(
    el("b", {}, partName(model, number)),
    el("span", {}, rangeText(model, part)),
    el("span", {}, `${plural(part.rows, "row")}: ${countsText(part)}`));
  tip.hidden = false;
  const box = cell.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2),
    document.documentElement.clientWidth - own.width - 8);
  const above = box.top - own.height - 8;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
}

const hideTip = () => { tip.hidden = true; };

// Arrows go from cell to cell, Home and End to the ends; one cell of the map is in the tab order.
function move(event, cells) {
  const at = cells.indexOf(document.activeElement);
  const top = cells[0].offsetTop;
  const columns = cells.findIndex((cell) => cell.offsetTop > top);
  const row = columns > 0 ? columns : cells.length;
  const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - row, ArrowDown: at + row,
    Home: 0, End: cells.length - 1 };
  const to = cells[steps[event.key]];
  if (at < 0 || !to) return;
  event.preventDefault();
  cells.forEach((cell) => { cell.tabIndex = cell === to ? 0 : -1; });
  to.focus();
}

// `chosen` is the number of the part that is selected, or null; choose(number) selects one.
function keySpace(model, chosen, choose) {
  const size = model.map.length <= 60 ? "few" : model.map.length <= 260 ? "some" : "many";
  const grid = el("div", { class: `cells ${size}`, role: "listbox",
    "aria-label": `key space of ${model.model}, in the order of its keys` });
  const cells = model.map.map((part, i) => {
    const cell = el("button", { type: "button", role: "option",
      "aria-selected": String(i === chosen),
      "aria-label": `${rangeText(model, part)}: ${plural(part.rows, "row")}, ${countsText(part)}`,
      tabindex: i === (chosen === null ? 0 : chosen) ? "0" : "-1",
      onclick: () => choose(i === chosen ? null : i),
      onmouseenter: () => showTip(cell, model, part, i), onmouseleave: hideTip,
      onfocus: () => showTip(cell, model, part, i), onblur: hideTip });
    paint(cell, part);
    return cell;
  });
  grid.append(...cells);
  grid.addEventListener("keydown", (event) => move(event, cells));
  const first = model.map[0], last = model.map[model.map.length - 1], name = model.key.join(", ");
  const ends = model.map.length === 1 ? ["all keys", ""]
    : !first.last ? ["parts by the digests of the keys", ""]
    : [`${name} \u2264 ${keyText(model, first.last)}`, last.last
      ? `${name} \u2264 ${keyText(model, last.last)}` : `${name} > ${keyText(model, last.first)}`];
  const axis = el("div", { class: "axis", "aria-hidden": "true" },
    ...ends.map((text) => el("span", {}, text)));
  return el("div", { class: "map" }, grid, axis);
}

function legend(model) {
  const seen = new Set(model.map.flatMap((part) => Object.keys(kindsOf(part))));
  const list = el("ul", { class: "legend" });
  for (const kind of ["equal", ...KINDS]) {
    if (kind !== "equal" && !seen.has(kind)) continue;
    list.append(el("li", {}, el("i", { class: `cell ${kind}`, "aria-hidden": "true" }), NAMES[kind],
      MEANS[kind] ? el("small", {}, MEANS[kind]) : null));
  }
  return list;
}

function selection(model, number) {
  const part = model.map[number];
  const shown = model.differences.filter((one) => one.part === number).length;
  const left = differences(part) - shown;
  return el("p", { class: "selection", role: "status" },
    el("b", {}, partName(model, number)),
    ` ${rangeText(model, part)}. ${plural(part.rows, "row")}: ${countsText(part)}.`,
    left > 0 ? ` ${count(left)} of its differences are not in this page.` : "");
}

