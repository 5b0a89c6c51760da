/**
 * Secrets in files that the configuration names: their format, and reading them again on each use, so that replacing a
 * file needs no restart. Opens no file itself; no error and no log line shows the content.
 */
import { ConfigError, unreadable } from "../config/load.ts";
import type { Logger } from "../logs/log.ts";

/** Reads a file as UTF-8 text. Throws when it cannot be read. */
export type ReadFile = (path: string) => string;

/** The path of a file and the key that names it, for example "nats.password_file". */
export interface NamedFile {
  readonly key: string;
  readonly path: string;
}

/** Why a file is unusable, without its content, for example "is empty". */
export class SecretProblem extends Error {
  override readonly name = "SecretProblem";
}

const NOT_PRINTABLE = /[^\x20-\x7e]/;
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*(.*?)[\t ]*$/;
const HEADERS_MAX = 64;

/** Reads a file and parses its text. Throws a ConfigError that names the key and the file. */
export function readSecret<T>(
  read: ReadFile,
  { key, path }: NamedFile,
  parse: (text: string) => T,
): T {
  let text: string;
  try {
    text = read(path);
  } catch (cause) {
    throw unreadable(key, path, cause);
  }
  try {
    // Invalid UTF-8 was replaced by these characters, and would be another secret.
    if (text.includes("\ufffd")) throw new SecretProblem("is not UTF-8 text");
    return parse(text.replace(/^\ufeff/, ""));
  } catch (cause) {
    const why = cause instanceof SecretProblem ? cause.message : "cannot be used";
    throw new ConfigError("", [
      { position: undefined, key, text: `${JSON.stringify(path)} ${why}` },
    ]);
  }
}

/** The password in a file: its only line, without the line's end. Spaces belong to it. */
export function passwordIn(text: string): string {
  const line = text.replace(/(?:\r?\n)+$/, "");
  if (line === "") throw new SecretProblem("is empty; expected one line");
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x1f\x7f]/.test(line)) {
    throw new SecretProblem("has more than one line, or control characters; expected one line");
  }
  return line;
}

/** The token in a file: printable ASCII without spaces. */
export function tokenIn(text: string): string {
  const line = passwordIn(text.trim());
  if (!/[^\x21-\x7e]/.test(line)) return line;
  throw new SecretProblem("holds no token; expected one line of printable ASCII without spaces");
}

/**
 * The HTTP headers in a file, one a line as `curl -H @file` reads them; empty lines and those with
 * # are left out.
 */
export function headersIn(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  const names = new Set<string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, name = "", value = ""] = HEADER.exec(line) ?? [];
    if (name === "" || NOT_PRINTABLE.test(value.replaceAll("\t", " "))) {
      throw new SecretProblem(
        `has something else in line ${
          index + 1
        }; expected a header a line, as "authorization: Bearer …"`,
      );
    }
    if (names.has(name.toLowerCase())) {
      throw new SecretProblem(`has a header twice, the second time in line ${index + 1}`);
    }
    names.add(name.toLowerCase());
    headers[name] = value;
  }
  if (names.size === 0) throw new SecretProblem("is empty; expected a header a line");
  if (names.size > HEADERS_MAX) throw new SecretProblem(`has more than ${HEADERS_MAX} headers`);
  return headers;
}

/**
 * A value loaded from one or more files at each use. The first load must succeed. Later, the last valid value is used
 * while a file is missing or invalid.
 */
export class RenewedSecret<T> {
  readonly #load: () => T;
  readonly #log: Logger | undefined;
  #value: T;
  #logged = "";

  /** Throws what `load` throws: a ConfigError that names the key and the file. */
  constructor(load: () => T, log?: Logger) {
    this.#load = load;
    this.#log = log;
    this.#value = load();
  }

  /** The present value. Never throws; a problem is logged once, and again when it is resolved. */
  current(): T {
    try {
      this.#value = this.#load();
      if (this.#logged !== "") this.#log?.info("a secret can be read again", { was: this.#logged });
      this.#logged = "";
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== this.#logged) {
        this.#log?.error("a secret cannot be read; the previous one is used", { problem });
      }
      this.#logged = problem;
    }
    return this.#value;
  }
}
