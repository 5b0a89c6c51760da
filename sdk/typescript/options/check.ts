/** What is wrong with an option is said at `connect`, not by the first message that needs it. */
import { TIMER_MS_MAX } from "../time/sleep.ts";

/** Options that hold or give a token; their values are not shown. */
const SECRET = /token$/i;

function shown(name: string, value: unknown): string {
  if (SECRET.test(name)) return "not shown";
  const is_text = typeof value === "string" || (typeof value === "object" && value !== null);
  return (is_text ? JSON.stringify(value) : String(value)).slice(0, 100);
}

/** The error for an option with a value that cannot work. */
export function wrongOption(name: string, value: unknown, expected: string): TypeError {
  return new TypeError(`${name} is ${shown(name, value)}; expected ${expected}`);
}

/** Throws unless the value is undefined or one of the words. */
export function assertWord(name: string, value: unknown, words: readonly string[]): void {
  if (value === undefined || words.includes(value as string)) return;
  throw wrongOption(name, value, words.map((word) => `"${word}"`).join(" or "));
}

/** What the Python SDK calls otherwise, or what is an option of something else. */
const ELSEWHERE = {
  headers: "none: WebSockets of browsers send none",
  on_overflow: "it at subscribe and listen",
  get_token: "getToken",
  on_status: "onStatus",
  on_error: "onError",
};
const FUNCTIONS = ["getToken", "onStatus", "onError", "traceparent", "now", "random", "webSocket"];

function assertBackoff(backoff: unknown): void {
  const bounds = ["base_ms", "max_ms"];
  if (typeof backoff !== "object" || backoff === null) {
    throw wrongOption("backoff", backoff, "{ base_ms, max_ms }");
  }
  for (const [name, value] of Object.entries(backoff)) {
    const path = `backoff.${name}`;
    if (!bounds.includes(name)) throw wrongOption(path, value, bounds.join(" or "));
    // A timer takes no longer wait: it would fire at once, again and again.
    const is_wait = typeof value === "number" && value >= 0 && value <= TIMER_MS_MAX;
    if (value !== undefined && !is_wait) throw wrongOption(path, value, `0 to ${TIMER_MS_MAX}`);
  }
}

/** Throws TypeError for the first option of `connect` that cannot work. Numbers: `atLeastOne`. */
export function assertOptions(options: object): void {
  const given = options as Readonly<Record<string, unknown>>;
  for (const [name, right] of Object.entries(ELSEWHERE)) {
    if (given[name] !== undefined) throw wrongOption(name, given[name], right);
  }
  for (const name of FUNCTIONS) {
    const value = given[name];
    if (value !== undefined && typeof value !== "function") {
      throw wrongOption(name, value, "a function");
    }
  }
  const { backoff, offline, signer } = given;
  if (backoff !== undefined) assertBackoff(backoff);
  assertWord("offline", offline, ["queue", "refuse"]);
  if (signer !== undefined && typeof (signer as { sign?: unknown } | null)?.sign !== "function") {
    throw wrongOption("signer", signer, "an object with sign(data)");
  }
}
