// Values as elements. Nothing that a database holds is ever markup: it becomes text nodes.

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const count = (number) => Number(number).toLocaleString("en-US");
const plural = (number, noun) => `${count(number)} ${noun}${Number(number) === 1 ? "" : "s"}`;

// A value as tokens, which are compared and drawn one by one: a character, two hexadecimal digits
// of bytes, or what is marked by a first character that no longer token begins with.
const LEFT_OUT = "\u0000left:";
const BAD_BYTE = "\u0000byte:";

function tokens(value, kind) {
  const list = [];
  for (const part of Array.isArray(value) ? value : [value]) {
    if (typeof part === "number") list.push(LEFT_OUT + part);
    else if (Array.isArray(part)) list.push(BAD_BYTE + part[0]);
    else if (kind === "bytes") list.push(...(part.match(/../g) || []));
    else for (const character of part) list.push(character);
  }
  return list;
}

// How many characters a token stands for that are not in the page; 0 when it is one.
const leftOut = (token) => (token.startsWith(LEFT_OUT) ? Number(token.slice(LEFT_OUT.length)) : 0);
const nounOf = (kind) => (kind === "bytes" ? "byte" : "character");

// The text of a value, for searches.
function plain(value) {
  if (value === null) return "null";
  if (!Array.isArray(value)) return String(value);
  return value.map((part) => (typeof part === "string" ? part : " ")).join("");
}

// Characters that change how others look, or that look like others or like nothing.
const UNSEEN = new RegExp("[\\u007f-\\u00a0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e"
  + "\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb"
  + "\\u{e0000}-\\u{e007f}]", "u");
const COMBINING = /^\p{M}$/u;

const code = (character) =>
  "U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");

const SHAPES = { "\n": "\u23ce", "\r": "\u240d", "\t": "\u21e5" };

function unseen(character) {
  const point = character.codePointAt(0);
  const shape = SHAPES[character]
    || (point < 32 ? String.fromCodePoint(0x2400 + point) : code(character));
  return el("span", { class: "unseen", title: code(character) }, shape);
}

// Draws tokens into a node. `marked`: they are what has changed, so blanks are shown as well.
function draw(node, list, kind, marked) {
  let text = "";
  const flush = () => {
    if (text) node.append(text);
    text = "";
  };
  const put = (child) => {
    flush();
    node.append(child);
  };
  list.forEach((token, i) => {
    if (leftOut(token)) {
      put(el("span", { class: "left-out" },
        `${plural(leftOut(token), nounOf(kind))} not in this page`));
    } else if (token.startsWith(BAD_BYTE)) {
      put(el("span", { class: "unseen bad", title: "a byte that is no UTF-8" },
        "\\x" + token.slice(BAD_BYTE.length)));
    } else if (kind === "bytes") {
      text += token;
      if (i < list.length - 1) text += " ";
    } else if (token < " " || UNSEEN.test(token)) {
      put(unseen(token));
      if (token === "\n") text += "\n";
    } else if (token === " " && marked) {
      put(el("span", { class: "blank" }, "\u00b7"));
    } else if (marked && COMBINING.test(token)) {
      text += "\u25cc" + token;
    } else {
      text += token;
    }
  });
  flush();
}

// What is longer than `most` is drawn without its middle, until somebody asks for it.
function fold(node, list, kind, marked, most, head, tail) {
  if (list.length <= most) return draw(node, list, kind, marked);
  draw(node, list.slice(0, head), kind, marked);
  const inside = list.slice(head, list.length - tail);
  const length = inside.reduce((sum, token) => sum + (leftOut(token) || 1), 0);
  const button = el("button", { type: "button", class: "unfold",
    "aria-label": `show ${plural(length, nounOf(kind))} more` },
    `\u2026 ${count(length)} more \u2026`);
  button.addEventListener("click", () => {
    const whole = el("span", { class: "unfolded", tabindex: "-1" });
    draw(whole, inside, kind, marked);
    button.replaceWith(whole);
    whole.focus();
  });
  node.append(button);
  draw(node, list.slice(list.length - tail), kind, marked);
}

function nothing(value) {
  if (value === null) return el("span", { class: "null", title: "SQL NULL" }, "NULL");
  if (value === "") return el("span", { class: "empty" }, "empty");
  return null;
}

// A value that stands by itself.
function single(value, kind) {
  const special = nothing(value);
  if (special) return special;
  const node = el("bdi", { class: "value" });
  fold(node, tokens(value, kind), kind, false, 240, 170, 50);
  return node;
}

// Two values that differ, with what has changed marked in both.
function both(a, b, kind) {
  const specials = [nothing(a), nothing(b)];
  if (specials[0] || specials[1]) {
    return [a, b].map((value, i) => specials[i] || el("mark", {}, single(value, kind)));
  }
  const nodes = [el("bdi", { class: "value" }), el("bdi", { class: "value" })];
  const lists = [tokens(a, kind), tokens(b, kind)];
  const runs = kind === "boolean" ? [{ same: false, sides: lists }] : difference(...lists);
  runs.forEach((run, n) => {
    const edge = n === 0 || n === runs.length - 1;
    run.sides.forEach((list, side) => {
      if (run.same) {
        const head = n === 0 ? 24 : 40;
        fold(nodes[side], list, kind, false, edge ? 120 : 160, head, n === 0 ? 60 : 40);
      } else if (list.length) {
        const points = kind === "bytes" || list.length > 12 || list.some((one) => one[0] === "\0")
          ? null : list.map(code).join(" ");
        const mark = el("mark", { title: points });
        fold(mark, list, kind, true, 400, 240, 120);
        nodes[side].append(mark);
      } else {
        nodes[side].append(el("mark", { class: "gap", title: "the other side has more here" }));
      }
      // Bytes are apart, also where a run ends.
      if (kind === "bytes" && n < runs.length - 1) nodes[side].append(" ");
    });
  });
  return nodes;
}

