/**
 * Describes the files of `data_dir` for error messages: their content, and how to recover one that cannot be opened or
 * written without data loss. Reads sizes and free space; opens and changes nothing.
 */
import { statfsSync, statSync } from "node:fs";

/** A database of the embedded engine. */
export type DataFile =
  | "spine.sqlite"
  | "log.sqlite"
  | "journal.sqlite"
  | "usage.sqlite"
  | "ledger.sqlite";

const HOLDS: Readonly<Record<DataFile, string>> = {
  "spine.sqlite": "the state of rooms, policies, schemas, bans, revocations and the audit log",
  "log.sqlite": "the messages of durable rooms",
  "journal.sqlite": "the journal of decisions, without which everything else works",
  "usage.sqlite": "the ledger of use, without which everything else works",
  "ledger.sqlite": "the ledger of deliveries, without which everything else works",
};

/** The kinds of trouble with a file, by remedy. */
type Trouble = "full" | "damaged" | "locked" | "refused" | "other";

/** The kind of trouble that a message of SQLite or of the system reports. */
function troubleOf(message: string): Trouble {
  if (/database or disk is full|no space left|disk quota exceeded/i.test(message)) return "full";
  if (/malformed|not a database|corrupt/i.test(message)) return "damaged";
  if (/database is locked/.test(message)) return "locked";
  const is_refused = /readonly|unable to open|disk I\/O|denied|read-only/i.test(message);
  return is_refused ? "refused" : "other";
}

/** Whether that message says that the disk is full. */
export const isDiskFull = (message: string): boolean => troubleOf(message) === "full";

/** The remedy for a damaged file; the sentence follows the one about its content. */
const SAVE = "put a backup of the folder back, or save what can be read with";
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** A size for people, for example "12.5 MiB". */
function sizeText(bytes: number): string {
  let unit = 0;
  let size = bytes;
  for (; size >= 1_024 && unit < UNITS.length - 1; unit++) size /= 1_024;
  return `${unit === 0 ? size : size.toFixed(1)} ${UNITS[unit]}`;
}

/** The result of `read`; undefined if the system or a permission denies it. */
function known<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The free space in words, "12.0 KiB of 64.0 MiB are free"; "" if unknown. */
function freeText(folder: string): string {
  const disk = known(() => statfsSync(folder));
  if (disk === undefined) return "";
  return `${sizeText(disk.bavail * disk.bsize)} of ${sizeText(disk.blocks * disk.bsize)} are free`;
}

/** Whether the file exists. */
export const hasFile = (data_dir: string, file: DataFile): boolean =>
  known(() => statSync(`${data_dir}/${file}`)) !== undefined;

function fileText(data_dir: string, file: DataFile): string {
  const size = known(() => statSync(`${data_dir}/${file}`).size);
  return size === undefined ? file : `${file} (${sizeText(size)})`;
}

function fullText(data_dir: string, file: DataFile): string {
  const free = freeText(data_dir);
  return `cannot be opened: its disk is full${free === "" ? "" : ` (${free})`}. Nothing is lost: ` +
    "free some room there, or copy the whole folder to a larger disk and name that in " +
    `[server] data_dir, and start again. Do not delete ${fileText(data_dir, file)} or its -wal: ` +
    `they hold ${HOLDS[file]}. A lower [durable] log_bytes, history_size or ` +
    "history_ttl_seconds keeps what is to come smaller";
}

function damagedText(data_dir: string, file: DataFile, message: string): string {
  return `cannot be opened (${message}): ${fileText(data_dir, file)} is damaged; it holds ` +
    `${HOLDS[file]}. To go on, ${SAVE} \`sqlite3 ${file} .recover | sqlite3 saved.sqlite\` and ` +
    `put that in its place. Moving ${file} and its -wal away starts without all of it`;
}

/** Why a file of `data_dir` could not be opened, and what to do; the text follows "data_dir …". */
export function openProblem(data_dir: string, file: DataFile, message: string): string {
  const trouble = troubleOf(message);
  switch (trouble) {
    case "full":
      return fullText(data_dir, file);
    case "damaged":
      return damagedText(data_dir, file, message);
    case "locked":
      return "is in use by another ArqonBus process; stop that one or choose another data_dir";
    case "refused":
      return `cannot be opened (${message}; may this user write there?)`;
    case "other":
      return `cannot be opened: ${file}: ${message}`;
    default:
      return trouble satisfies never;
  }
}

/** Why a file that is open could not be read or written, in a few words. */
export function useProblem(file: DataFile, message: string): string {
  const trouble = troubleOf(message);
  switch (trouble) {
    case "full":
      return "the disk is full";
    case "damaged":
      return `${file} is damaged (${message}): ${SAVE} sqlite3's .recover`;
    case "locked":
    case "refused":
    case "other":
      return message;
    default:
      return trouble satisfies never;
  }
}
