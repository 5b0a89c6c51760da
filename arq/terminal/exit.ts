/**
 * How a command ends: exit codes, and errors in words for people (what, where, what would be right). An error never has
 * a stack trace or a token.
 */
import { ArqonError } from "@arqon/proto";

/** The exit codes; `arq --help` lists them. */
export const EXIT = {
  ok: 0,
  /** Something failed: a refusal, a bad file, a bus that is not ready. */
  failure: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** `arq plan`: there are changes. Its usage errors are `failure`, so that no script confuses the two. */
  changes: 2,
  /** 401 or 403: the token does not allow it. */
  refused: 3,
  /** Nothing answers, or the connection is lost permanently. */
  unreachable: 4,
  /** A policy of the tenant refused; another token does not help. */
  policy: 5,
  /**
   * A replay found more flips than `--max-flips` allows or could not judge more calls than `--max-unknown`, or a
   * check of a reducer found more than `--max-differences`.
   */
  flips: 6,
  /** Ended by Ctrl-C. */
  interrupted: 130,
  /** Ended by SIGTERM. */
  terminated: 143,
} as const;

/** What each exit code means, for the help, the manual page and the documents. */
export const EXIT_MEANINGS: readonly (readonly [code: number, meaning: string])[] = [
  [EXIT.ok, "done; also if the reader of a pipe has exited"],
  [EXIT.failure, "failed: a refusal, a bad file, a bus that is not ready"],
  [EXIT.usage, "wrong command line; nothing was done. Of arq plan: there are changes"],
  [EXIT.refused, "refused: the token is missing, invalid, expired or does not permit it"],
  [EXIT.unreachable, "the bus cannot be reached, or answers 503"],
  [EXIT.policy, "refused by a policy of the tenant (policy-rejected)"],
  [
    EXIT.flips,
    "a replay found more than --max-flips or --max-unknown, or a check more than --max-differences",
  ],
  [EXIT.interrupted, "interrupted with Ctrl-C"],
  [EXIT.terminated, "ended by SIGTERM"],
];

/** The text that `--help` ends with. */
export const EXIT_HELP = `Exit codes:\n${
  EXIT_MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(3)}  ${meaning}`).join("\n")
}`;

/** An error that a person can act on. Its text is shown unchanged. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exit_code: number;
  /** What to do about the error, on a line of its own. */
  readonly hint: string | undefined;
  /** What else is wrong, each on a line of its own. */
  readonly more: readonly string[];

  constructor(
    message: string,
    exit_code: number = EXIT.failure,
    hint?: string,
    /** `cause` is the refusal of the bus, whose reason is reported. */
    { more = [], ...options }: { readonly cause?: ArqonError; readonly more?: readonly string[] } =
      {},
  ) {
    super(message, options);
    this.exit_code = exit_code;
    this.hint = hint;
    this.more = more;
  }
}

/** The message of an error. */
export const whyOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** The error for a path that could not be read, with the reason. */
export const cannotRead = (path: string, error: unknown): CommandError =>
  new CommandError(`cannot read ${path}: ${whyOf(error)}`);

/** The error for a path where nothing was written, with the reason. */
export function cannotWrite(path: string, error: unknown): CommandError {
  if (error instanceof Deno.errors.AlreadyExists) {
    return new CommandError(`cannot write ${path}: it is there already`);
  }
  const why = whyOf(error);
  const hint = /no space left|quota exceeded/i.test(why)
    ? "free some room on its disk, or name a place on another one"
    : "name a place that you may write to, or make that one writable";
  return failed(`cannot write ${path}: ${why}`, hint);
}

/** The error for a failure, with advice. */
export function failed(message: string, hint?: string): CommandError {
  return new CommandError(message, EXIT.failure, hint);
}

/** The error for a wrong command line. */
export function usageError(message: string, hint?: string): CommandError {
  return new CommandError(message, EXIT.usage, hint);
}

/** Why everything is being stopped, as the reason of the abort signal. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exit_code: number;

  constructor(exit_code: number) {
    super("interrupted");
    this.exit_code = exit_code;
  }
}

/**
 * Whether the reader of our output is gone (`arq sub … | head`). This is no failure; there is nobody left to write to.
 */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && (error.name === "BrokenPipe" || /EPIPE/.test(error.message));
}

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError || error instanceof Interrupted) return error.exit_code;
  if (isBrokenPipe(error)) return EXIT.ok;
  if (!(error instanceof ArqonError)) return EXIT.failure;
  // Checked before the code, which a policy may choose.
  if (error.reason === "policy-rejected") return EXIT.policy;
  if (error.code === 401 || error.code === 403) return EXIT.refused;
  const lost = ["unreachable", "connection-lost", "answer-timeout", "connection-closed"];
  return error.code === 503 || lost.includes(error.reason) ? EXIT.unreachable : EXIT.failure;
}

/** Advice for a bus that does not know a token's issuer. */
export const WHICH_ISSUER =
  "arq context show says which bus, key and issuer are used here, and why; " +
  "--context dev names the running development bus";

const HINTS: Readonly<Record<string, string>> = {
  "unreachable": "is the bus running? `arq dev up` starts one; --url names another",
  "token-issuer": WHICH_ISSUER,
  "not-granted": "make a token with other grants: arq auth gen --grant 'ROOM:publish,subscribe'",
  "message-too-large": "[limits] max_frame_bytes of the bus bounds a message",
  "role-forbidden": "make one: arq auth gen --role admin, for a tenant of [admin] operator_tenants",
  "command-forbidden": "make a token: arq auth gen --role service",
  "version-conflict": "read it again, then decide: arq room get ROOM --json",
  "not-durable": "arq room class set makes rooms durable, or [[rooms]] in the bus's config",
  "fence-mismatch": "that lock has ended; lock again: arq room lock ROOM",
  "banned":
    "arq room unban ROOM USER --scope tenant lifts it, with a token of role service or admin",
  "room-banned": "arq room unban ROOM USER lifts it, with a token of role service or admin",
};

const HINT_OTHER = "the server there is not an ArqonBus; --url names another";
const HINT_401 = "make a token: arq auth gen --role user (see arq auth gen --help)";

function hintFor(error: unknown): string | undefined {
  if (error instanceof CommandError) return error.hint;
  if (!(error instanceof ArqonError)) return undefined;
  if (error.reason === "locked") {
    const seconds = Math.ceil(error.retry_after_ms / 1_000);
    return `its lease ends in ${seconds} s unless it is renewed; --fence is for its holder`;
  }
  if (error.reason === "unreachable" && /HTTP \d+/.test(error.message)) return HINT_OTHER;
  return HINTS[error.reason] ?? (error.code === 401 ? HINT_401 : undefined);
}

// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** A text without control characters, which could control the terminal. All texts of a server pass through it. */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A text of at most `most` characters, with `…` for the rest. */
export const shortened = (text: string, most = 2_000): string =>
  text.length > most ? `${text.slice(0, most)}…` : text;

/**
 * Parts that Deno adds to an error and that do not help a person: the URL again and the layers it passed, a number and
 * the name of a call, a flag of its own.
 */
const ADDED: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/error sending request for url \([^)]*\): (?:client error \(\w+\): )?/, ""],
  [/ \(os error \d+\)(?:: \w+ '[^']*')?/, ""],
  [/Requires (\w+) access to (.*), run again with the --allow-\w+ flag/, "no $1 access to $2"],
];

function refusalIn(error: unknown): ArqonError | undefined {
  if (error instanceof ArqonError) return error;
  return error instanceof CommandError && error.cause instanceof ArqonError
    ? error.cause
    : undefined;
}

function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return printable(ADDED.reduce((before, [pattern, to]) => before.replace(pattern, to), text));
}

/** The text for an error: a line for each problem, and one with advice, if there is any. */
export function explain(error: unknown): string {
  const refusal = refusalIn(error);
  const reason = refusal === undefined ? "" : ` (${refusal.code} ${refusal.reason})`;
  const hint = hintFor(error);
  const lines = [...moreOf(error).map(printable), ...(hint === undefined ? [] : [hint])];
  return `arq: ${textOf(error)}${reason}\n${lines.map((line) => `     ${line}\n`).join("")}`;
}

function moreOf(error: unknown): readonly string[] {
  return error instanceof CommandError ? error.more : [];
}

/** The JSON for an error, for `--json`: one object in one line. */
export function explainJson(error: unknown): string {
  const reason = refusalIn(error)?.reason;
  const hint = hintFor(error);
  const shown = {
    ...(reason === undefined ? {} : { reason }),
    message: [textOf(error), ...moreOf(error).map(printable)].join("; "),
    ...(hint === undefined ? {} : { hint }),
    exit: exitCodeOf(error),
  };
  return `${JSON.stringify({ error: shown })}\n`;
}

/** Whether a command line requests JSON, judged by its words: a wrong one cannot be parsed. */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).includes("--json");
}
