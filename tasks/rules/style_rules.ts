/**
 * The kinds of sentences that docs/style.md forbids and that no file has, as patterns. Pure; it finds them in prose,
 * comments and texts alike, since no identifier has a space. A kind that reaches zero is added as one more line.
 */
import type { Violation } from "../checkout/violation.ts";
import type { Sources } from "./sources.ts";

/** The beginning of a sentence in prose or in a comment. */
const START = String.raw`(?:^|[.;:|>] |\/\*\* |\/\/ |^ *\* |# |- )`;

/** The forbidden pattern, and its replacement. A space also matches a line break, also within a comment. */
const KINDS: readonly (readonly [pattern: string, plain: string])[] = [
  [
    String.raw`(?<!\bout |\bfor (?:await )?\([^\n]*)\bof before\b(?!\.\w|\)| \?)`,
    "previous, earlier, older",
  ],
  [String.raw`\bwhat (?:is|are) too much\b`, "surplus, excess"],
  [String.raw`\bas which (?:it|they|he|she|this)\b`, "its kind, its role"],
  [String.raw`\bwho(?:ever)? (?:is|are|was|were) away\b`, "disconnected clients"],
  [String.raw`\bwho (?:comes|came|come) back\b`, "returning clients, clients that reconnect"],
  [String.raw`(?<!\bthere )\b(?:is|are) no more(?=[.,;:])`, "deleted, cancelled, expired"],
  [String.raw`\bcomes? back by itself\b`, "recovers, reconnects automatically"],
  [String.raw`\bstood still\b`, "stalled, was stopped"],
  [String.raw`\bbecame of\b`, "the outcome of"],
  [String.raw`\bwhat is over\b`, "expired, finished"],
  [String.raw`\b(?:sent|sends|send) (?:\w+ )?away\b`, "rejected, closed"],
  [String.raw`\bto be had\b`, "available"],
  [String.raw`\bhas nothing that (?:\w+ ){1,3}(?:has|have) not\b`, "has applied all of it"],
  [String.raw`\bby the look of it\b|\bnot so of\b`, "apparently; exception"],
  [`${START}(?:Whose|Of what|As which|Of which|Of whom|Of those that) `, "the subject first"],
];

/** Kinds that no page and no comment has; programs' texts and names of tests still have them. */
const PAGE_KINDS: readonly (readonly [pattern: string, plain: string])[] = [
  [
    String.raw`\b(?:is|are|was|were|be|been) told\b(?! (?:apart|to|from)\b)|\btold (?:of|as)\b`,
    "notified, receives, is reported",
  ],
  [String.raw`\btells? of\b`, "reports, shows, lists"],
  [
    String.raw`\bstands? (?:in(?! for)|there|beside|still|where|behind|below|above|at the)\b`,
    "is, lies, is in",
  ],
  [String.raw`(?<!\bwho(?:ever)? )\b(?:is|are|was|were) away\b`, "unreachable, disconnected"],
  [String.raw`\bas ever\b|\bwithout a word\b(?! in)`, "as usual; silently"],
  [String.raw`\bnobody can (?:say|tell|know)\b`, "it is unknown whether"],
  [String.raw`\bwhat waits\b`, "the queue, the backlog"],
  [String.raw`\btak(?:es|en|e) (?:up|away)\b(?! to\b)`, "applied, continued; removed"],
  [String.raw`(?<!\x60)\b[Hh]ear(?:s|ers?)?\b`, "receives, subscribes, is notified"],
  [String.raw`\bany ?more\b`, "no longer"],
  [String.raw`\bborn\b`, "created, begins"],
  [String.raw`\bonce more\b`, "again"],
  [String.raw`(?<!\bcomes? back )\bby itself\b`, "automatically, alone"],
];

/** Names that no declaration has: a participle where the noun of what it holds belongs. */
const NAME_KINDS: readonly (readonly [pattern: string, plain: string])[] = [
  [
    String.raw`\b(?:const|let|var|using|for|function\*?|class|interface|type|def) ` +
    String
      .raw`\w*(?:(?<![A-Za-z])(?:[Uu]n)?(?:told|heard|said)|Told|Heard|Said|TOLD|HEARD|SAID)(?![a-z])\w*`,
    "its noun: messages, received, reported, output, reply",
  ],
];

/** Pages, and code; PAGE_KINDS apply only to the comments of the latter. */
const PAGES = /^(?!tests\/).*\.md$/;
const CODE = /\.(?:ts|tsx|js|rs|py)$/;
const COMMENT = /^[ \t]*# [^\n]*|"""[^]*?"""|\/\*[^]*?\*\/|(?<![:"'`])\/\/[^\n]*/gm;

/** The comments of a program, at their positions; everything else is blank. */
function commentsOf(text: string): string {
  const blank = (part: string) => part.replaceAll(/[^\n]/g, " ");
  let comments = "";
  for (const { 0: comment, index } of text.matchAll(COMMENT)) {
    comments += blank(text.slice(comments.length, index)) + comment;
  }
  return comments + blank(text.slice(comments.length));
}

/** A space of a pattern in a text: any white space, including a line break with the start of the next comment line. */
const GAP = String.raw`(?:[ \t]+|[ \t]*\r?\n[ \t]*(?:(?:\/\/|\*|#|>)[ \t]+)?)`;

const compiled = (kinds: typeof KINDS) =>
  kinds.map(([pattern, plain]) => ({
    regex: new RegExp(
      pattern.replaceAll(" *", "@").replaceAll(" ", GAP).replaceAll("@", " *"),
      "gm",
    ),
    plain,
  }));

const PATTERNS = compiled(KINDS);
const PAGE_PATTERNS = compiled(PAGE_KINDS);
const NAME_PATTERNS = compiled(NAME_KINDS);

/** Every sentence of a file that matches one of the kinds. */
export function checkStyle(path: string, text: string): Violation[] {
  const found = violations(path, text, PATTERNS);
  if (PAGES.test(path)) found.push(...violations(path, text, PAGE_PATTERNS));
  if (CODE.test(path)) {
    found.push(...violations(path, commentsOf(text), PAGE_PATTERNS));
    found.push(...violations(path, text, NAME_PATTERNS));
  }
  return found;
}

function violations(path: string, text: string, patterns: typeof PATTERNS): Violation[] {
  return patterns.flatMap(({ regex, plain }) =>
    [...text.matchAll(regex)].map((match) => {
      const found = match[0].trim().replaceAll(/\s+/g, " ");
      const at = match.index + match[0].length - match[0].trimStart().length;
      const line = text.slice(0, at).split("\n").length;
      return { path, line, message: `"${found}": write "${plain}" (docs/style.md)` };
    })
  );
}

const COLUMNS = 120;
/** A line that is nothing but a comment and can be broken, unlike an address. */
const COMMENT_LINE = /^[ \t]*(?:\/\/|\/?\*|#).{60,} /;

/** Comments beyond the last column, which deno fmt leaves as they are. */
export function checkColumns(path: string, text: string): Violation[] {
  if (!CODE.test(path)) return [];
  return text.split("\n").flatMap((line, at) =>
    line.length > COLUMNS && COMMENT_LINE.test(line)
      ? [{
        path,
        line: at + 1,
        message: `${line.length} columns: a comment has at most ${COLUMNS}`,
      }]
      : []
  );
}

const SENTENCE_WORDS = 45;

/** What ends a sentence: its point, or the end of a paragraph, list item or cell, which are marked by a NUL. */
const SENTENCE_END = /(\0|\n[ \t]*\n|(?<=[.!?]["”)*_]*)\s+)/;

/** Sentences that are too long, as vale counts them at night (docs/.vale): code and addresses are no words. */
export function checkSentences(path: string, text: string): Violation[] {
  const blank = (part: string) => part.replaceAll(/[^\n]/g, " ");
  const prose = text.replaceAll(/<!--[^]*?-->|^ *(```|~~~)[^]*?^ *\1$|`[^`]*`|\]\([^)]*\)/gm, blank)
    .replaceAll(/^#.*$|^ *(?:[-*]|\d+\.) |\|/gm, (mark) => "\0" + blank(mark.slice(1)));
  let line = 1;
  return prose.split(SENTENCE_END).flatMap((part) => {
    const first = line + part.slice(0, part.search(/\S|$/)).split("\n").length - 1;
    line += part.split("\n").length - 1;
    const words = part.match(/\b[\w'’-]+\b/g)?.length ?? 0;
    if (words <= SENTENCE_WORDS) return [];
    return [{
      path,
      line: first,
      message: `${words} words: a sentence has at most ${SENTENCE_WORDS}`,
    }];
  });
}

const EXTENSIONS = [".md", ".ts", ".tsx", ".js", ".py", ".rs", ".toml", ".json", ".yaml", ".yml"];

/** The page and the rules, which name the kinds. */
const NAMES_THEM = /^(docs\/style\.md|tasks\/rules\/style_rules(_test)?\.ts|deno\.lock)$/;

/** The violations in all files. */
export function checkAllStyle(sources: Sources): Violation[] {
  const paths = sources.ending(EXTENSIONS).filter((path) => !NAMES_THEM.test(path));
  const pages = paths.filter((path) => /^(?:README|docs\/.*)\.md$/.test(path));
  return [
    ...paths.flatMap((path) => checkStyle(path, sources.text(path))),
    ...paths.flatMap((path) => checkColumns(path, sources.text(path))),
    ...pages.flatMap((path) => checkSentences(path, sources.text(path))),
  ];
}
