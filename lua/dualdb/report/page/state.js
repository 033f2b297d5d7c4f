// What the page shows, and what of it is chosen: that stands in the location, so that it can be
// passed on.

const root = document.documentElement;
addEventListener("error", (event) => { root.dataset.error = event.message; });

const run = JSON.parse(document.getElementById("run").textContent);
const models = [...document.querySelectorAll("script.model")].map((node) => {
  const { about, differences: list } = JSON.parse(node.textContent);
  return Object.assign(about, { differences: list });
});

const sum = (name) => models.reduce((total, model) => total + (model[name] || 0), 0);
const allDifferences = () => sum("missing") + sum("extra") + sum("changed");
const inPage = () => models.reduce((total, model) => total + model.differences.length, 0);

const VERDICTS = { equal: "Equal", different: "Different", not_verified: "Not verified" };
const WORDS = ["model", "kind", "column", "q"];

function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  const read = { part: null };
  for (const name of WORDS) read[name] = given.get(name) || "";
  const model = models.find((one) => one.model === read.model);
  if (!model) read.model = "";
  const part = /^\d+$/.test(given.get("part") || "") ? Number(given.get("part")) - 1 : null;
  if (model && part !== null && model.map[part]) read.part = part;
  return read;
}

let state = readState();

function change(changes) {
  Object.assign(state, changes);
  const words = new URLSearchParams();
  for (const name of WORDS) if (state[name]) words.set(name, state[name]);
  if (state.part !== null) words.set("part", state.part + 1);
  history.replaceState(null, "", "#" + words);
  show();
}

