/**
 * What a room or tenant id may be, and the prefix patterns that grants and config use for rooms.
 * Pure; every peer needs it. Subjects are built from ids in `shared/subjects/subject.ts` only.
 */
const ID = /^[A-Za-z0-9_~:=-]{1,64}$/;

/** True for one NATS token of 1 to 64 bytes of `[A-Za-z0-9_~:=-]`. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** Says what is wrong with an id, or `undefined` when it is right. Safe to show: control bytes are escaped. */
export function idProblem(text: string): string | undefined {
  if (ID.test(text)) return undefined;
  const bad = /[^A-Za-z0-9_~:=-]/u.exec(text)?.[0];
  const what = bad !== undefined
    ? `character ${JSON.stringify(bad)}`
    : text === ""
    ? "the id is empty"
    : `${text.length} bytes`;
  return `${what}; expected 1 to 64 bytes of [A-Za-z0-9_~:=-]`;
}

/** A pattern is an id, or a prefix of one followed by `*`, or `*` alone. */
export function isRoomPattern(pattern: string): boolean {
  return pattern === "*" || isId(pattern.endsWith("*") ? pattern.slice(0, -1) : pattern);
}

/** `chat-*` matches every room that begins with `chat-`; without `*` only the same id matches. */
export function matchesRoomPattern(pattern: string, room: string): boolean {
  return pattern.endsWith("*") ? room.startsWith(pattern.slice(0, -1)) : pattern === room;
}
