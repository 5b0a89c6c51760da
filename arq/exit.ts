/**
 * How a command ends: exit codes, and errors in words for people (what, where, what would be right).
 * Never a stack trace, never a token.
 */
import { ArqonError } from "@arqon/sdk";

/** The exit codes; `arq --help` lists them. */
export const EXIT = {
  ok: 0,
  /** Something failed: a refusal, a bad file, a bus that is not ready. */
  failure: 1,
  /** The command line is wrong; nothing was done. */
  usage: 2,
  /** 401 or 403: the token does not allow it. */
  refused: 3,
  /** Nobody answers, or the connection was lost for good. */
  unreachable: 4,
  /** Ctrl-C. */
  interrupted: 130,
  /** SIGTERM. */
  terminated: 143,
} as const;

/** The text that `--help` ends with. */
export const EXIT_HELP = `Exit codes:
  0    done
  1    failed
  2    wrong command line
  3    refused: the token is missing, bad, expired or does not allow it
  4    the bus cannot be reached
  130  interrupted with Ctrl-C`;

/** An error that a person can act on; its text is shown as it is. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exit_code: number;
  /** What to do about it, on a line of its own. */
  readonly hint: string | undefined;

  constructor(message: string, exit_code: number = EXIT.failure, hint?: string) {
    super(message);
    this.exit_code = exit_code;
    this.hint = hint;
  }
}

/** A wrong command line. */
export function usageError(message: string, hint?: string): CommandError {
  return new CommandError(message, EXIT.usage, hint);
}

/** Why everything is being stopped; the reason of the abort signal. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly exit_code: number;

  constructor(exit_code: number) {
    super("interrupted");
    this.exit_code = exit_code;
  }
}

/** The reader of our output is gone (`arq sub … | head`): no error, there is just nobody to write to. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && (error.name === "BrokenPipe" || /EPIPE/.test(error.message));
}

/** The exit code that an error stands for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError || error instanceof Interrupted) return error.exit_code;
  if (isBrokenPipe(error)) return EXIT.ok;
  if (!(error instanceof ArqonError)) return EXIT.failure;
  if (error.code === 401 || error.code === 403) return EXIT.refused;
  const lost = ["unreachable", "connection-lost", "answer-timeout", "connection-closed"];
  return error.code === 503 || lost.includes(error.reason) ? EXIT.unreachable : EXIT.failure;
}

const HINTS: Readonly<Record<string, string>> = {
  "unreachable": "is the bus running? `deno task dev` starts one; --url names another",
  "not-granted": "make a token with other grants: arq auth gen --grant 'ROOM:publish,subscribe'",
  "message-too-large": "[limits] max_frame_bytes of the bus bounds a message",
  "role-forbidden": "make one: arq auth gen --role admin",
  "command-forbidden": "make a token: arq auth gen --role service",
  "version-conflict": "read it anew, then decide: arq room get ROOM --json",
  "not-durable": "arq room class set makes rooms durable, or [[rooms]] in the bus's config",
  "fence-mismatch": "that lock has ended; lock anew: arq room lock ROOM",
  "banned": "arq room unban ROOM USER lifts it, with a token of role service or admin",
};

function hintFor(error: unknown): string | undefined {
  if (error instanceof CommandError) return error.hint;
  if (!(error instanceof ArqonError)) return undefined;
  if (error.code === 401) return "make a token: arq auth gen --role user (see arq auth gen --help)";
  if (error.reason === "locked") {
    const seconds = Math.ceil(error.retry_after_ms / 1_000);
    return `its lease ends in ${seconds} s unless it is renewed; --fence is for who holds it`;
  }
  return HINTS[error.reason];
}

// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Control characters could drive the terminal; a server's text is not trusted with that. */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Deno names the URL again and the layers it went through, which says nothing to a person. */
const FETCH_LAYERS = /error sending request for url \([^)]*\): (?:client error \(\w+\): )?/;

/** One line that says what is wrong, and one that says what to do, if anything. */
export function explain(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replace(FETCH_LAYERS, "");
  const reason = error instanceof ArqonError ? ` (${error.code} ${error.reason})` : "";
  const hint = hintFor(error);
  const first = `arq: ${printable(text)}${reason}\n`;
  return hint === undefined ? first : `${first}     ${hint}\n`;
}
