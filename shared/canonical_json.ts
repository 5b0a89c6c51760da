/** JSON with the members of objects sorted by name: equal values have the same text. Pure. */

/** Whether the members of an object are in order, and none of them has members. */
function isOrdered(value: Readonly<Record<string, unknown>>): boolean {
  let before = "";
  for (const name in value) {
    if (name < before || typeof value[name] === "object") return false;
    before = name;
  }
  return true;
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null) return value;
  if (isOrdered(value as Record<string, unknown>)) return value;
  const members = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(members.map(([name, one]) => [name, inOrder(one)]));
}

/** The text of a value of JSON; members that are undefined are left out. */
export const canonicalJson = (value: unknown): string => JSON.stringify(inOrder(value)) ?? "null";
