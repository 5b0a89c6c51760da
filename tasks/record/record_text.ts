/**
 * Turns a recorded session into texts, as pure functions: output without the parts that differ from run to
 * run, and a text for the quick start. `record_session.ts` runs the commands.
 */
import { plain } from "../checkout/screen.ts";

/** One entry of the session: a command and its output. */
export interface Entry {
  /** Number of its terminal, from 1. */
  readonly terminal: number;
  /** The command that was typed; "" for later output of an earlier command in that terminal. */
  readonly command: string;
  /** The output of the terminal, with its colours. */
  readonly output: string;
}

/** The parts of the output that differ from run to run. */
export interface Differing {
  /** The folder of the session. */
  readonly folder: string;
  readonly config_home: string;
  /** The ports of clients, metrics and admin. */
  readonly ports: readonly [number, number, number];
}

const FOLDER = "/home/ada/my-bus";
const CONFIG_HOME = "/home/ada/.config";
/** The ports that are shown, and that a bus takes when it is given no others. */
export const PORTS = [4000, 4001, 4002] as const;
const TITLES = ["", "", "in a second terminal", "in a third"];
const INSTALL = "$ npm install ";
/** The comment in front of the session in the quick start. */
const START = "<!-- what deno task readme runs -->";
const END = "<!-- end of what was recorded -->";

/**
 * Output in which places, ports, ids, tokens, times and sizes of the machine are replaced, so that it is the
 * same each time.
 */
export function normalise(output: string, { folder, config_home, ports }: Differing): string {
  let text = output.replaceAll("\r\n", "\n").replaceAll(config_home, CONFIG_HOME);
  text = text.replaceAll(folder, FOLDER);
  ports.forEach((port, index) => {
    text = text.replaceAll(new RegExp(`\\b${port}\\b`, "g"), String(PORTS[index]));
  });
  return text
    .replaceAll(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, "eyJhbGciOiJSUzI1NiIs…")
    .replaceAll(/\b(shield|brain)-[\w-]{22}/g, "$1-…")
    .replaceAll(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, "2026-01-01T00:00:00.000Z")
    .replaceAll(/\d+ open files, \d+ are needed/g, "65536 open files, 18256 are needed")
    .replaceAll(/\b\d+ packages in [\d.]+m?s\b/g, "3 packages in 4s");
}

/** The session as a text, without colours, with a heading where the terminal changes. */
export function sessionText(entries: readonly Entry[]): string {
  let before = 1;
  const blocks = entries.map(({ terminal, command, output }) => {
    const again = terminal === 1 ? "in the first" : TITLES[terminal];
    const heading = terminal === before ? "" : `\n# ${again}\n`;
    before = terminal;
    const shown = plain(output.replace(/\n*$/, "\n").replace(/^\n+$/, ""));
    return `${heading}${command === "" ? "" : `$ ${command}\n`}${shown}`;
  });
  return `${blocks.join("").replaceAll(/[ \t]+$/gm, "").trim()}\n`;
}

/** The recorded text without the installation, which is everything before the second command. */
export function withoutInstall(text: string): string {
  return text.startsWith(INSTALL) ? text.slice(text.indexOf("\n$ ") + 1) : text;
}

/** The session that a page shows between its two marks; undefined when it does not have them. */
export function sessionOf(page: string): string | undefined {
  const start = page.indexOf(START);
  const end = page.indexOf(END);
  if (start < 0 || end < start) return undefined;
  return page.slice(start + START.length, end).trim().slice("```text\n".length, -"```".length);
}

/** The first line that differs between two texts, for people; undefined when they are equal. */
export function difference(recorded: string, now: string): string | undefined {
  if (recorded === now) return undefined;
  const [old_lines, new_lines] = [recorded.split("\n"), now.split("\n")];
  const index = new_lines.findIndex((line, at) => line !== old_lines[at]);
  const at = index < 0 ? new_lines.length : index;
  return `line ${at + 1}\n  recorded: ${old_lines[at] ?? "(its end)"}\n  now:      ${
    new_lines[at] ?? "(its end)"
  }`;
}
