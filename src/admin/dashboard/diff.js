// The difference of two texts, line by line.

/** Lines of context around a change. */
const AROUND = 3;
/** Longer texts are compared as a whole: the table would not be worth its memory. */
const LONGEST = 3000;

/** `[sign, number, line]` for each line shown; `"…"` stands for lines left out. */
export function diff(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let [start, ends] = [0, 0];
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (ends < a.length - start && ends < b.length - start && a.at(-1 - ends) === b.at(-1 - ends)) ends++;
  const middle = between(a.slice(start, a.length - ends), b.slice(start, b.length - ends));
  let number = start;
  const changed = middle.map(([sign, line]) => [sign, sign === "-" ? "" : ++number, line]);
  const same = (line, at) => [" ", at + 1, line];
  const all = [...b.slice(0, start).map(same), ...changed, ...b.slice(b.length - ends).map((line, at) => same(line, b.length - ends + at))];
  return shorten(all);
}

/** What remains when both ends agree: the longest common part stays, the rest goes or comes. */
function between(a, b) {
  if (a.length > LONGEST || b.length > LONGEST) return [...a.map((line) => ["-", line]), ...b.map((line) => ["+", line])];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const out = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push([" ", a[i++]]);
      j++;
    } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) out.push(["-", a[i++]]);
    else out.push(["+", b[j++]]);
  }
  return [...out, ...a.slice(i).map((line) => ["-", line]), ...b.slice(j).map((line) => ["+", line])];
}

/** Leaves out what is far from any change. */
function shorten(all) {
  const near = all.map(() => false);
  all.forEach(([sign], at) => {
    if (sign === " ") return;
    for (let i = Math.max(0, at - AROUND); i <= Math.min(all.length - 1, at + AROUND); i++) near[i] = true;
  });
  return all.flatMap((line, at) => (near[at] ? [line] : near[at - 1] ? [["…", "", ""]] : []));
}
