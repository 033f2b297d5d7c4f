// What two lists of tokens have in common, and what not: runs of { same, sides: [a, b] }.

const CELLS = 1 << 20; // of the table below, at most

// The longest common subsequence as runs; null when the lists are too long for it.
function aligned(a, b) {
  const n = a.length, m = b.length, width = m + 1;
  if ((n + 1) * width > CELLS) return null;
  const table = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      const at = i * width + j;
      table[at] = a[i] === b[j] ? table[at + width + 1] + 1
        : Math.max(table[at + width], table[at + 1]);
    }
  }
  const runs = [];
  const add = (same, x, y) => {
    const last = runs[runs.length - 1];
    if (last && last.same === same) {
      last.sides[0].push(...x);
      last.sides[1].push(...y);
    } else {
      runs.push({ same, sides: [x, y] });
    }
  };
  let i = 0, j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && a[i] === b[j]) add(true, [a[i++]], [b[j++]]);
    else if (j >= m || (i < n && table[(i + 1) * width + j] >= table[i * width + j + 1])) {
      add(false, [a[i++]], []);
    } else add(false, [], [b[j++]]);
  }
  return { runs, common: table[0] };
}

// Words, blanks and signs, for texts that are too long to be aligned by characters.
function words(list) {
  const result = [];
  let word = [];
  const flush = () => {
    if (word.length) result.push(word);
    word = [];
  };
  for (const token of list) {
    if (/^[\p{L}\p{N}_]$/u.test(token)) word.push(token);
    else {
      flush();
      result.push([token]);
    }
  }
  flush();
  return result;
}

// A character in common between two longer changes is chance, and reads worse than none.
function joined(runs) {
  const result = [];
  runs.forEach((run, n) => {
    const before = result[result.length - 1], next = runs[n + 1];
    const length = run.sides[0].length;
    const size = (other) => Math.max(other.sides[0].length, other.sides[1].length);
    const chance = run.same && before && next && length <= 2
      && size(before) > 2 * length && size(next) > 2 * length;
    if (before && !before.same && (chance || !run.same)) {
      before.sides[0].push(...run.sides[0]);
      before.sides[1].push(...run.sides[1]);
    } else {
      result.push(run);
    }
  });
  return result;
}

function middle(a, b) {
  const whole = [{ same: false, sides: [a, b] }];
  if (!a.length || !b.length) return whole;
  const longest = Math.max(a.length, b.length);
  let found = aligned(a, b);
  if (!found) {
    const letters = new Map();
    const names = [words(a), words(b)].map((list) => list.map((word) => {
      letters.set(word.join(""), word);
      return word.join("");
    }));
    found = aligned(names[0], names[1]);
    if (!found) return whole;
    found.runs.forEach((run) => {
      run.sides = run.sides.map((list) => list.flatMap((word) => letters.get(word)));
    });
    found.common = found.runs.reduce((sum, run) => sum + (run.same ? run.sides[0].length : 0), 0);
  }
  // Two values that have little in common are different as a whole.
  return found.common < longest / 3 ? whole : joined(found.runs);
}

function difference(a, b) {
  const least = Math.min(a.length, b.length);
  let before = 0, behind = 0;
  while (before < least && a[before] === b[before]) before++;
  while (behind < least - before
    && a[a.length - 1 - behind] === b[b.length - 1 - behind]) behind++;
  const runs = middle(a.slice(before, a.length - behind), b.slice(before, b.length - behind));
  if (before) runs.unshift({ same: true, sides: [a.slice(0, before), b.slice(0, before)] });
  if (behind) {
    runs.push({ same: true, sides: [a.slice(a.length - behind), b.slice(b.length - behind)] });
  }
  return runs;
}

