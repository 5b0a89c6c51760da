/**
 * `arq proof`: reads the transparency log of a room or of the audit log, and checks it on this machine. Of the server
 * of the files only the signature is trusted.
 */
import { decodeProof, encodeVerifier, jsonItems, jsonMembers } from "@arqon/proto";
import { openReceipt } from "../../../shared/proof/signing.ts";
import { payloadHash } from "../../../shared/proof/entry.ts";
import { provenBytes } from "../../../shared/proof/reader.ts";
import { plural } from "../../../shared/plural.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { createBelow, newOutput } from "../../terminal/input.ts";
import { type Ended, type Io, print, type Report, resolvePath } from "../../terminal/io.ts";
import {
  continued,
  evident,
  linesOf,
  noKey,
  openNote,
  openSource,
  openTree,
  textIn,
  verifiersFor,
} from "./source.ts";
import type { ProofSource } from "./source.ts";
import type { Flags } from "../../program/flags.ts";
import { time } from "../../answers/figures.ts";
import { linesText } from "../../terminal/columns.ts";

/** In a folder of `arq export`: a folder for each of its logs. */
export const LOGS = "logs";
const MESSAGES = "messages.ndjson";
const ITEMS_MAX = 100_000;

/** Prints the newest checkpoint, once it is checked. */
export async function checkpoint(io: Io, place: string, flags: Flags): Promise<Ended> {
  const { tree } = await openTree(io, await openSource(io, place, flags), flags);
  return { json: { checkpoint: tree.note }, text: tree.note };
}

/** Prints the keys that check a log, the newest first. */
export async function key(io: Io, place: string, flags: Flags): Promise<Ended> {
  const source = await openSource(io, place, flags);
  const vkeys = (await verifiersFor(io, source, flags)).map(encodeVerifier);
  return { json: { vkeys }, text: `${vkeys.join("\n")}\n` };
}

/** Prints the proof that the entry of an offset is in the log; of several epochs the newest. */
export async function inclusion(
  io: Io,
  place: string,
  offset: number,
  flags: Flags,
): Promise<Ended> {
  const { tree } = await openTree(io, await openSource(io, place, flags), flags);
  const proof = await evident(async () => {
    const found = await tree.find(offset);
    return found && await tree.proofOf(found);
  });
  if (proof === undefined) {
    throw new CommandError(`the log has no entry of offset ${offset}, of ${tree.checkpoint.size}`);
  }
  return { json: { proof }, text: proof };
}

/** Checks that a log extends a saved checkpoint. */
export async function consistency(
  io: Io,
  place: string,
  file: string,
  flags: Flags,
): Promise<Ended> {
  const opened = await openTree(io, await openSource(io, place, flags), flags);
  const { old, proof } = await continued(io, file, opened);
  const { size } = opened.tree.checkpoint;
  const json = { old_size: old.size, size, proof: proof.map((hash) => hash.toBase64()) };
  const text = `the log of ${plural(size, "entry", "entries")} continues that of ${old.size}\n`;
  return { json, text };
}

/** Checks everything: signature, each entry and tile, saved checkpoints, and the messages of a folder. */
export async function verify(io: Io, place: string, flags: Flags): Promise<Ended> {
  if (place.endsWith(".tlog-proof")) return await verifyProof(io, place, flags);
  if (place.endsWith(".receipt")) return await verifyReceipt(io, place, flags);
  const source = await openSource(io, place, flags);
  const logs = source.is_still === true ? await logsIn(io, place) : [];
  const [one] = logs;
  if (one === undefined) return await verifyLog(io, place, source, flags);
  if (logs.length > 1 && flags.older !== undefined) {
    throw usageError(`--older: of one log; expected one of the folders such as ${one}`);
  }
  const found: Report[] = [];
  for (const log of logs) {
    found.push(await verifyLog(io, log, await openSource(io, log, flags), flags));
  }
  const json = { logs: found.map(({ json }) => json) };
  return { json, text: found.map(({ text }) => text).join("") };
}

/** The folders of the logs in a folder of `arq export`. */
async function logsIn(io: Io, place: string): Promise<string[]> {
  const folder = resolvePath(io.cwd, place);
  const logs: string[] = [];
  for (const name of await io.files.list(`${folder}/${LOGS}`)) {
    const log = `${folder}/${LOGS}/${name}`;
    if (await io.files.state(`${log}/checkpoint`) !== undefined) logs.push(log);
  }
  return logs.sort();
}

async function verifyLog(
  io: Io,
  place: string,
  source: ProofSource,
  flags: Flags,
): Promise<Report> {
  const opened = await openTree(io, source, flags);
  const { tree } = opened;
  const messages = await evident(() => messagesBeside(io, place, source));
  const offsetOf = (name: string) => Number(name.split("/")[1]);
  const wanted = new Set([...messages.keys()].map(offsetOf));
  /** The valid hash at each offset: a break may have invalidated earlier ones. */
  const standing = new Map<number, string>();
  const breaks: string[] = [];
  let newest = 0;
  const hold = (offset: number, sha256: string | undefined, hash = sha256) => {
    if (sha256 === hash) return;
    const what = sha256 === undefined ? "is not in the log" : "is not the logged one";
    throw new Error(`the message at offset ${offset} ${what}`);
  };
  await evident(async () => {
    for await (const { entry } of tree.whole()) {
      const { offset } = entry;
      if (!("break" in entry) || entry.break !== "gap") newest = offset;
      if ("break" in entry) {
        breaks.push(`${entry.break} at ${offset}`);
        for (const at of standing.keys()) if (at > newest) standing.delete(at);
        continue;
      }
      hold(offset, entry.sha256, messages.get(`${entry.epoch}/${offset}`));
      messages.delete(`${entry.epoch}/${offset}`);
      if (wanted.has(offset)) standing.set(offset, entry.sha256);
    }
    // The bus reports its present epoch, also for messages stored in an earlier one.
    for (const [name, hash] of messages) {
      const at = offsetOf(name);
      if (at <= newest) hold(at, standing.get(at), hash);
    }
  });
  const later = [...wanted].filter((at) => at > newest).length;
  const checked = wanted.size - later;
  for (const file of flags.older ?? []) await continued(io, file, opened);
  const { size, root, origin } = tree.checkpoint;
  const found = { origin, size, root: root.toBase64(), breaks, messages: checked };
  const beside = (checked === 0 ? "" : `, and ${plural(checked, "message")} beside it`) +
    (later === 0 ? "" : `; ${later} newer than the log, so nothing proves them`);
  const broken = linesText(breaks, "the record has a break: ");
  const text = `${origin}: ${plural(size, "entry", "entries")}, complete${beside}\n${broken}`;
  return { json: found, text };
}

/** Checks one entry by its proof in a file. */
async function verifyProof(io: Io, file: string, flags: Flags): Promise<Ended> {
  const verifiers = await verifiersFor(io, { files: noKey }, flags);
  const text = await textIn(io, file);
  const [entry, index, size] = await evident(async () => {
    const proof = decodeProof(text);
    const head = await openNote(proof.checkpoint, verifiers, flags);
    return [provenBytes(proof, head), proof.index, head.size];
  });
  const entry_text = printable(new TextDecoder().decode(entry));
  await print(io.stdout, `${entry_text} is entry ${index} of ${size}\n`);
  return EXIT.ok;
}

/** Checks a receipt, and with `log` whether that log has its entry. */
async function verifyReceipt(io: Io, file: string, flags: Flags): Promise<Ended> {
  const { log } = flags;
  const source = log === undefined ? { files: noKey } : await openSource(io, log, flags);
  const verifiers = await verifiersFor(io, source, flags);
  const note = await textIn(io, file);
  const { entry, bytes: leaf, by_ms } = await evident(() => openReceipt(note, ...verifiers));
  const entry_text = printable(new TextDecoder().decode(leaf));
  const promised = `${entry_text} is promised by ${time(by_ms)}`;
  if (log === undefined) {
    await print(io.stdout, `${promised}\n`);
    return EXIT.ok;
  }
  const { tree } = await openTree(io, source, flags);
  const found = await evident(async () => {
    const one = await tree.find(entry.offset, entry.epoch);
    if (one !== undefined) await tree.proofOf(one);
    return one;
  });
  const { size } = tree.checkpoint;
  if (found !== undefined && payloadHash(found.bytes) === payloadHash(leaf)) {
    await print(io.stdout, `${promised}, and is entry ${found.index} of ${size}\n`);
    return EXIT.ok;
  }
  const what = found === undefined ? `not among ${size}` : `not entry ${found.index} of ${size}`;
  throw new CommandError(`${promised}, and is ${what}`);
}

/** The hashes of the messages in a folder with a log, by epoch and offset. */
async function messagesBeside(
  io: Io,
  place: string,
  { is_still }: ProofSource,
): Promise<Map<string, string>> {
  const file = resolvePath(io.cwd, `${place}/${MESSAGES}`);
  if (is_still !== true || (await io.files.state(file)) === undefined) return new Map();
  const found = new Map<string, string>();
  for await (const line of linesOf(io, file)) {
    for (const [name, hash] of hashesOf(line)) {
      if ((found.get(name) ?? hash) !== hash) {
        throw new CommandError(`the message at ${name} is in ${MESSAGES} with two texts`);
      }
      found.set(name, hash);
    }
  }
  return found;
}

/** The hash of each message of a page, of exactly its text there. */
function hashesOf(page: string): [name: string, hash: string][] {
  const { epoch } = JSON.parse(page);
  const tooMany = () => new CommandError(`${MESSAGES} has a page that is too large`) as never;
  const messages = jsonMembers(page, 0, ITEMS_MAX, tooMany).get("messages");
  if (messages === undefined) throw new CommandError(`${MESSAGES}: a line has no messages`);
  return jsonItems(page, messages.start, ITEMS_MAX, tooMany).map((item) => {
    const text = page.slice(item.start, item.end);
    const { offset } = JSON.parse(text);
    if (!Number.isSafeInteger(offset)) {
      throw new CommandError(`the message at ${offset}: no offset`);
    }
    return [`${epoch}/${offset}`, payloadHash(text)];
  });
}

/** Writes the files of a log, and a room's messages, into a new folder, which can be verified alone. */
export async function save(io: Io, place: string, folder: string, flags: Flags): Promise<Ended> {
  const source = await openSource(io, place, flags);
  const { tree, verifiers } = await openTree(io, source, flags);
  const root = resolvePath(io.cwd, folder);
  // Whoever may not read them gets no folder.
  let page = await source.history?.(0);
  const write = (path: string, data: Uint8Array | string) =>
    createBelow(io, `${root}/${path}`, data, 0o644);
  await write("checkpoint", tree.note);
  await write("key", verifiers.map((one) => `${encodeVerifier(one)}\n`).join(""));
  for (const path of tree.paths()) await write(path, await source.files(path));
  if (page !== undefined) {
    const file = await newOutput(io, `${root}/${MESSAGES}`, 0o644);
    try {
      for (let after = 0; page !== undefined;) {
        await file.write(new TextEncoder().encode(`${page}\n`));
        const { messages, more } = JSON.parse(page);
        const last = messages.at(-1)?.offset ?? after;
        page = more && last > after ? await source.history?.(last) : undefined;
        after = last;
      }
      await file.finish();
    } finally {
      await file.abandon(false);
    }
  }
  const { size } = tree.checkpoint;
  return {
    json: { size, folder },
    text: "",
    note: `${plural(size, "entry", "entries")} in ${folder}\n`,
  };
}
