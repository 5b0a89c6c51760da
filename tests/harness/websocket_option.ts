/** The option `--websocket` of long runs: which kind of client sockets their Shields use. */
import type { Option } from "./task_arguments.ts";

const KINDS = ["native", "own"];
const EXPECTED = "native or own";

/** The line of `[server]` for it; "" keeps the default. Throws RangeError that names the valid values. */
export function websocketLine(kind: string): string {
  if (kind === "") return "";
  if (KINDS.includes(kind)) return `websocket = "${kind}"\n`;
  throw new RangeError(`--websocket is ${JSON.stringify(kind)}; expected ${EXPECTED}`);
}

/** The same as a command-line option. */
export const WEBSOCKET: Option<string> = {
  takes: "WORD",
  about: `client sockets of the Shields: ${EXPECTED}`,
  initial: "",
  shown: "the default",
  expected: EXPECTED,
  read: (kind) => kind === "" || KINDS.includes(kind) ? websocketLine(kind) : undefined,
};
