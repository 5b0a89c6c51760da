/**
 * The rules for documents: links lead to a place in the checkout, named tasks, commands and scenarios exist, and fenced
 * `json` and `toml` blocks are valid; documents and programs that comments name exist, and so do headings for anchors.
 * `deno check` type-checks the `ts` blocks. A `toml` block must pass our config loader and the JSON Schema for editors,
 * so that the two cannot drift apart; a block that names the schema of a tenant's state must pass that schema.
 */
import { Ajv2020 } from "ajv/dist/2020.js";
import { describeCommand, everyCommand } from "../../arq/completion/command_tree.ts";
import { stateJsonSchema } from "../../arq/desired/form.ts";
import { buildProgram } from "../../arq/program/program.ts";
import { ConfigError, parseConfig } from "../../shared/config/load.ts";
import { constants } from "../../shared/config/keys/constants.ts";
import { parseToml } from "../../shared/config/toml.ts";
import { anchors, fencedBlocks, links, namedTasks, resolvePath } from "../checkout/markdown.ts";
import { isGenerated, isTest } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import type { Sources } from "./sources.ts";

/** The rules' access to the rest of the checkout. */
export interface Checkout {
  /** Whether a file or folder exists; the path has no trailing slash. */
  has(path: string): boolean;
  /** The text of a Markdown file; undefined if it does not exist. */
  markdown(path: string): string | undefined;
  /** The text of any file that exists. */
  text(path: string): string;
  /** Names of the tasks in deno.json. */
  readonly tasks: ReadonlySet<string>;
  /** Names of the scenarios of `deno task bench`. */
  readonly scenarios: ReadonlySet<string>;
  /** The words of each command of `arq`; whether it runs, or is only a group. */
  readonly commands: ReadonlyMap<string, boolean>;
  /** The problem with a `config.toml`; undefined if there is none. */
  configProblem(text: string): string | undefined;
}

function linkProblem(path: string, target: string, checkout: Checkout): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined;
  if (target.startsWith("/")) return `"${target}": links are relative`;
  const [file = "", anchor] = decodeURIComponent(target).split("#");
  const resolved = file === "" ? path : resolvePath(path, file);
  if (resolved.startsWith("..")) return `"${target}" leads out of the checkout`;
  if (resolved !== "" && !checkout.has(resolved)) return `"${target}" does not exist`;
  if (anchor === undefined || anchor === "") return undefined;
  const text = checkout.markdown(resolved);
  if (text === undefined || anchors(text).has(anchor)) return undefined;
  return `"${target}": ${resolved} has no heading "#${anchor}"`;
}

function jsonProblem(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `not JSON: ${error instanceof Error ? error.message : error}`;
  }
}

/** A link to a file with the name of one of its tests: `[a_test](a_test.ts): "name"`. */
const NAMED_TEST = /\]\(([^)\s]+)\): "([^"]+)"/g;

/** Tests that a page names and the linked file lacks. */
function unknownTests(path: string, text: string, checkout: Checkout): Violation[] {
  return text.split("\n").flatMap((line, index) =>
    [...line.matchAll(NAMED_TEST)].flatMap(([, target = "", name = ""]) => {
      const file = resolvePath(path, target);
      const is_there = !checkout.has(file) || checkout.text(file).includes(name);
      return is_there ? [] : [{ path, line: index + 1, message: `${file} has no test "${name}"` }];
    })
  );
}

/** Tasks that a page or a workflow names and deno.json lacks. */
function unknownTasks(path: string, text: string, tasks: ReadonlySet<string>): Violation[] {
  return namedTasks(text).filter(({ name }) => !tasks.has(name)).map(({ name, line }) => {
    return { path, line, message: `deno.json has no task "${name}"` };
  });
}

const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length;

/** A scenario in code, unless the page says in which commit it was last. */
const SCENARIO = /`(?:deno task )?bench ([a-z][a-z_-]*)[^`]*`(?!,?\s+\(?last in )/g;

/** Scenarios that a page names and the bench lacks. */
function unknownScenarios(path: string, text: string, { scenarios }: Checkout): Violation[] {
  return [...text.matchAll(SCENARIO)].filter(([, name = ""]) => !scenarios.has(name))
    .map(({ 1: name, index }) => {
      const line = lineAt(text, index);
      return { path, line, message: `the bench has no scenario "${name}": say "last in COMMIT"` };
    });
}

/** Up to two words of a command in code. */
const COMMAND = /(?:^|[`$( ])arq ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?/gm;

/** Commands that a page names and `arq` lacks. */
function unknownCommands(path: string, text: string, { commands }: Checkout): Violation[] {
  return [...text.matchAll(COMMAND)].filter(([, one = "", two]) => {
    const runs = commands.get(one);
    return runs === undefined || (!runs && two !== undefined && !commands.has(`${one} ${two}`));
  }).map(({ 1: one, 2: two, index }) => {
    const words = ["arq", one, two ?? ""].join(" ").trim();
    return { path, line: lineAt(text, index), message: `"${words}" is no command` };
  });
}

/** The violations of one Markdown file. */
export function checkMarkdown(path: string, text: string, checkout: Checkout): Violation[] {
  const broken = links(text).map(({ target, line }) => ({
    line,
    message: linkProblem(path, target, checkout),
  }));
  const blocks = fencedBlocks(text).map(({ language, text, line }) => ({
    line,
    message: language === "json"
      ? jsonProblem(text)
      : language === "toml"
      ? checkout.configProblem(text)
      : undefined,
  }));
  const found = [...broken, ...blocks].flatMap(({ line, message }) =>
    message === undefined ? [] : [{ path, line, message }]
  );
  return [
    ...found,
    ...unknownTests(path, text, checkout),
    ...unknownTasks(path, text, checkout.tasks),
    ...unknownScenarios(path, text, checkout),
    ...unknownCommands(path, text, checkout),
  ];
}

/** Extensions of files that may name documents, except Markdown. */
const CITING_EXTENSIONS: readonly string[] = [
  ...[".ts", ".js", ".mjs", ".py", ".rs", ".c", ".wat", ".proto", ".css", ".html", ".sh"],
  ...[".toml", ".yaml", ".yml", ".conf", ".json"],
];

const C_STYLE = /\.(ts|js|mjs|rs|c|proto|css)$/;
/** The name of a document in running text, with its folders and its anchor. */
const NAME = /(?<![\w./}-])((?:\.{1,2}\/)*(?:[\w.-]+\/)*[A-Za-z][\w-]*\.md)(#[\w-]+)?(?![\w/])/g;

/** The name of a document in a text; `line` is from 1. */
interface Citation {
  readonly name: string;
  readonly anchor: string | undefined;
  readonly line: number;
}

/** The comment in each line of a file in the style of C. */
function slashComments(lines: readonly string[]): string[] {
  let inside = false;
  return lines.map((line) => {
    const opens = /^\s*\/\*/.test(line);
    if (inside || opens) {
      inside = !line.includes("*/");
      return line;
    }
    return /(?:^|\s)\/\/(?!\/)\s.*$/.exec(line)?.[0] ?? "";
  });
}

/** The comment or docstring in each line of Python, shell, TOML or YAML. */
function hashComments(lines: readonly string[]): string[] {
  let inside = false;
  return lines.map((line) => {
    const quotes = line.split('"""').length - 1;
    const docstring = inside || quotes > 0;
    if (quotes % 2 === 1) inside = !inside;
    return docstring ? line : /(?:^|\s)#\s.*$/.exec(line)?.[0] ?? "";
  });
}

/**
 * The documents that a file names: any document in a comment; outside of comments only those below `docs/`, as in
 * errors, hints and help. Strings in tests are samples and do not count.
 */
function citations(path: string, text: string): Citation[] {
  const lines = text.split("\n");
  const comments = C_STYLE.test(path) ? slashComments(lines) : hashComments(lines);
  return lines.flatMap((line, index) => {
    const inComment = comments[index] ?? "";
    const found = new Map<string, Citation>();
    const add = (from: string, wanted: (name: string) => boolean) => {
      for (const [whole, name = "", hash] of from.matchAll(NAME)) {
        if (!wanted(name)) continue;
        found.set(whole, { name, anchor: hash?.slice(1), line: index + 1 });
      }
    };
    add(inComment, () => true);
    if (!isTest(path)) add(line, (name) => name.startsWith("docs/"));
    return [...found.values()];
  });
}

/** The named documents or headings of a file that do not exist. */
export function checkCitations(
  path: string,
  text: string,
  checkout: Pick<Checkout, "has" | "markdown">,
): Violation[] {
  return citations(path, text).flatMap(({ name, anchor, line }) => {
    // A name is relative to the folder of the file that names it, or to the root.
    const meant = [...name.startsWith(".") ? [] : [name], resolvePath(path, name)];
    const document = meant.find((candidate) => checkout.has(candidate));
    if (document === undefined) {
      return [{ path, line, message: `"${name}" is no document of the checkout` }];
    }
    if (anchor === undefined || anchors(checkout.markdown(document) ?? "").has(anchor)) return [];
    return [{ path, line, message: `"${name}": ${document} has no heading "#${anchor}"` }];
  });
}

/** A program in backticks, with its folders. */
const PROGRAM = /`((?:\.{1,2}\/)*(?:[\w-]+\/)*[\w-]+\.(?:ts|py))`/g;

/** The last part of a path. */
const nameOf = (path: string): string => path.replace(/^.*\//, "");

/** Comments that name a program which is not there, or the only one of that name: their own file. */
export function checkProgramNames(
  path: string,
  text: string,
  programs: ReadonlyMap<string, readonly string[]>,
): Violation[] {
  const lines = text.split("\n");
  const comments = C_STYLE.test(path) ? slashComments(lines) : hashComments(lines);
  return comments.flatMap((comment, index) =>
    [...comment.matchAll(PROGRAM)].flatMap(([, name = ""]) => {
      const end = `/${name.replace(/^[./]*/, "")}`;
      const meant = (programs.get(nameOf(name)) ?? []).filter((one) => `/${one}`.endsWith(end));
      const only = meant.length > 1 ? undefined : meant[0];
      if (meant.length > 0 && only !== path) return [];
      const what = only === undefined ? "is no program of the checkout" : "is this file";
      return [{ path, line: index + 1, message: `"${name}" ${what}` }];
    })
  );
}

const SCHEMA = "docs/config.schema.json";

/** The first line of an example that is not a configuration, but the input of `arq apply`. */
const STATE_MARK = "#:schema ./state.schema.json";

function configCheck(sources: Sources): (text: string) => string | undefined {
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  const isState = ajv.compile(stateJsonSchema());
  const validate = ajv.compile(sources.json(SCHEMA));
  return (text) => {
    if (text.startsWith(STATE_MARK)) {
      const parsed = parseToml(text);
      if (!parsed.ok) return parsed.message;
      if (isState(parsed.document.value)) return undefined;
      return `no state: ${ajv.errorsText(isState.errors)}`;
    }
    try {
      parseConfig(text, { file: "example" });
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
    const parsed = parseToml(text);
    if (!parsed.ok) return `the loader accepts what toml.ts refuses: ${parsed.message}`;
    if (validate(parsed.document.value)) return undefined;
    return `${SCHEMA} refuses what the loader accepts: ${ajv.errorsText(validate.errors)}`;
  };
}

/** `[table] key` in a text, also across a line break. */
const KEY = /(?<!\[)\[([a-z_.]+)\](?: |\n *(?:\* )?)([a-z_]+(?:\.[a-z_]+)*)/g;

/** Constants that a text names as keys: a process with one of them in its configuration does not start. */
export function checkConstants(
  path: string,
  text: string,
  names: ReadonlySet<string>,
): Violation[] {
  return [...text.matchAll(KEY)].flatMap(({ 1: table, 2: key, index }) => {
    const name = `${table}.${key}`;
    if (!names.has(name)) return [];
    const line = lineAt(text, index);
    return [{ path, line, message: `"[${table}] ${key}" is a constant: write "${name}"` }];
  });
}

/** The scenarios of the bench: each has its name on a line of its own. */
const scenariosIn = (sources: Sources): Set<string> =>
  new Set(
    sources.ending([".ts"]).filter((path) => path.startsWith("bench/")).flatMap((path) =>
      [...sources.text(path).matchAll(/^ +(?:name: )?"([a-z_-]+)",$/gm)].map(([, name = ""]) =>
        name
      )
    ),
  );

const commandsOfArq = (): Map<string, boolean> =>
  new Map(
    everyCommand(describeCommand(buildProgram(() => async () => {})))
      .map(({ path: [, ...words], is_runnable }) => [words.join(" "), is_runnable]),
  );

/** The files, and all of their parent folders. */
function withFolders(files: readonly string[]): Set<string> {
  const paths = new Set<string>();
  for (const file of files) {
    for (let path = file; path !== ""; path = path.replace(/\/?[^/]*$/, "")) paths.add(path);
  }
  return paths;
}

/** The violations in all documents, and in all files that may name one. */
export function checkDocuments(sources: Sources): Violation[] {
  const paths = withFolders(sources.paths);
  const pages = sources.ending([".md"]);
  const checkout = {
    has: (path: string) => paths.has(path),
    markdown: (path: string) => pages.includes(path) ? sources.text(path) : undefined,
    text: (path: string) => sources.text(path),
    tasks: new Set(Object.keys(sources.json("deno.json").tasks)),
    scenarios: scenariosIn(sources),
    commands: commandsOfArq(),
    configProblem: configCheck(sources),
  };
  const citing = sources.ending(CITING_EXTENSIONS).filter((path) => !isGenerated(path));
  const code = citing.filter((path) => /\.(ts|py)$/.test(path));
  const programs = Map.groupBy(sources.ending([".ts", ".py"]), nameOf);
  const fixed = new Set(constants().map(([name]) => name));
  return [
    ...pages.flatMap((path) => checkMarkdown(path, sources.text(path), checkout)),
    ...sources.paths.filter((path) => /^\.github\/.*\.yml$/.test(path))
      .flatMap((path) => unknownTasks(path, sources.text(path), checkout.tasks)),
    ...[...pages, ...citing].flatMap((path) => checkConstants(path, sources.text(path), fixed)),
    ...citing.flatMap((path) => checkCitations(path, sources.text(path), checkout)),
    ...code.flatMap((path) => checkProgramNames(path, sources.text(path), programs)),
  ];
}
