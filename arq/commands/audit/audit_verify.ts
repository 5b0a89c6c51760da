/**
 * `arq audit verify`: reads all entries of the audit log, or of a file, and checks on this machine that they
 * are one chain. The bus only sends the bytes; it is not asked whether they are right.
 */
import { ChainCheck } from "../../../shared/audit/chain.ts";
import { ENTRY_BYTES_MAX } from "../../../shared/audit/entry.ts";
import { plural } from "../../../shared/plural.ts";
import { type Admin, findAdmin, streamAdmin } from "../../bus/admin.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

const PAGE = 1_000;
const NEWLINE = 0x0a;

/** The lines of a stream without their newlines. A last line may lack its newline. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const part of stream) {
    const joined = new Uint8Array(rest.length + part.length);
    joined.set(rest);
    joined.set(part, rest.length);
    let from = 0;
    for (let end; (end = joined.indexOf(NEWLINE, from)) >= 0; from = end + 1) {
      yield joined.subarray(from, end);
    }
    rest = joined.slice(from);
    // The line is longer than an entry can be, which the check reports.
    if (rest.length > ENTRY_BYTES_MAX * 2) break;
  }
  if (rest.length > 0) yield rest;
}

/** All entries of a bus, page by page, up to the newest. */
async function* entriesOf(io: Io, admin: Admin, check: ChainCheck): AsyncGenerator<Uint8Array> {
  for (let after = 0;;) {
    const query = new URLSearchParams({ after: String(after), limit: String(PAGE) });
    let lines = 0;
    for await (const line of linesOf(await streamAdmin(io, admin, `/v1/audit/entries?${query}`))) {
      lines++;
      yield line;
    }
    const last = check.last?.seq ?? 0;
    // A page may be short because its entries are large, so its length does not show the end.
    if (lines === 0 || last <= after) return;
    after = last;
  }
}

async function opened(io: Io, path: string): Promise<ReadableStream<Uint8Array>> {
  if (path === "-") return io.stdin();
  try {
    return await io.files.open(resolvePath(io.cwd, path));
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new CommandError(`cannot read ${path}: ${why}`, EXIT.failure);
  }
}

async function* fileLines(io: Io, path: string): AsyncGenerator<Uint8Array> {
  yield* linesOf(await opened(io, path));
}

/**
 * Prints what was checked and the anchor of the newest entry. With exit code 1 it names the first broken
 * entry.
 */
export async function auditVerify(io: Io, flags: Flags): Promise<number> {
  const check = new ChainCheck(flags.anchor);
  const source = flags.file === undefined
    ? entriesOf(io, await findAdmin(io, flags), check)
    : fileLines(io, flags.file);
  for await (const line of source) {
    check.take(line);
    if (check.broken !== undefined) break;
  }
  const broken = check.end();
  const { first, last, entries } = check;
  if (flags.json === true) {
    const found = { entries, first: first ?? null, last: last ?? null, broken: broken ?? null };
    await print(io.stdout, `${JSON.stringify(found)}\n`);
    return broken === undefined ? EXIT.ok : EXIT.failure;
  }
  if (broken !== undefined) {
    const before = last === undefined ? "" : `; whole up to entry ${last.seq}`;
    throw new CommandError(
      `the audit log is broken at entry ${broken.seq}: ${broken.problem}${before}`,
      EXIT.failure,
      "the Shields' own logs have seq and hash of each entry that they wrote (msg=audit)",
    );
  }
  if (last === undefined) {
    await print(io.stdout, "the audit log is empty\n");
    return EXIT.ok;
  }
  const from = first?.seq === 1 ? "" : ` from ${first?.seq} on`;
  const whole = `${plural(entries, "entry", "entries")}${from}, one chain`;
  await print(io.stdout, `${whole}\nanchor: ${last.seq}:${last.hash}\n`);
  return EXIT.ok;
}
