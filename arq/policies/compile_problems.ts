/**
 * Reads the text of the AssemblyScript compiler about a policy as problems with file, line and column in the
 * author's own files. Pure. What is no problem of a known form is left for the caller to show unchanged.
 */

/** One problem that the compiler found. */
export interface CompileProblem {
  /** Path of the file as the author names it. A file of the compiler's own library has its name there. */
  readonly file: string;
  /** Lines and columns start at 1. */
  readonly line: number;
  readonly column: number;
  /** The compiler's code for the problem, for example TS2339. */
  readonly code: string;
  readonly message: string;
  /** The line of the source with a mark below; "" when the compiler shows none. */
  readonly excerpt: string;
}

/** What the author calls the compiler's folders `policy/` and `sdk/`. */
export interface SourceFolders {
  /** Each path ends in a slash, or is empty. */
  readonly policy: string;
  readonly sdk: string;
}

const HEAD = /^ERROR ([A-Z]+\d+): (.*)$/;
const PLACE = /^ +└─ in (.+)\((\d+),(\d+)\)$/;
const EXCERPT = /^ *\d* │ /;
/** The code of "File not found". */
const NOT_FOUND = "TS6054";

function authorPath(path: string, folders: SourceFolders): string {
  if (path.startsWith("policy/")) return folders.policy + path.slice("policy/".length);
  if (path.startsWith("sdk/")) return folders.sdk + path.slice("sdk/".length);
  return path;
}

function messageOf(code: string, text: string, folders: SourceFolders): string {
  if (code !== NOT_FOUND) return text;
  const [, path = ""] = /'([^']*)'/.exec(text) ?? [];
  if (path.startsWith("policy/")) return text.replace(path, authorPath(path, folders));
  return `${text} A policy imports "@arqon/policy/v2" (or "@arqon/policy" for version 1 of the ABI) and what is in its own folder or below it.`;
}

/** The problem in one block of the compiler's text; undefined when the block has no place in a file. */
function problemOf(block: string, folders: SourceFolders): CompileProblem | undefined {
  const [head = "", ...lines] = block.split("\n");
  const [, code, text] = HEAD.exec(head) ?? [];
  const at = lines.findIndex((line) => PLACE.test(line));
  const [, path, line, column] = PLACE.exec(lines[at] ?? "") ?? [];
  if (code === undefined || text === undefined || path === undefined) return undefined;
  return {
    file: authorPath(path, folders),
    line: Number(line),
    column: Number(column),
    code,
    message: messageOf(code, text, folders),
    excerpt: lines.slice(0, at).filter((one) => EXCERPT.test(one)).join("\n"),
  };
}

/** The problems in the compiler's text, in its order; empty when the text has none of this form. */
export function compileProblems(text: string, folders: SourceFolders): readonly CompileProblem[] {
  return text.split(/\n\n+/).flatMap((block) => problemOf(block, folders) ?? []);
}
