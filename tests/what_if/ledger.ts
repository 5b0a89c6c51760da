/**
 * What the script knows of every message by itself: what was in it, what the client was told, on which
 * Shield and when. It says what the journal and a replay have to say. Pure; it has no policy and asks none.
 */
import { isHole } from "../../shared/journal/record.ts";
import type { JournalLine, JournalRecord } from "../../shared/journal/record.ts";

/** A word that the policy refuses. */
export const REFUSED_WORD = "malware";
/** A word that only the changed policy refuses. */
export const PLANTED_WORD = "kumquat";
/** The longest text that the first policy lets through, in characters of ASCII. */
export const LONGEST = 400;

/** A message that was published, and what came of it. */
export interface Said {
  readonly id: string;
  readonly text: string;
  /** Of the Shield that it was given to. */
  readonly shield: number;
  /** 0: allowed; a code; undefined: no answer came, so that both are possible. */
  code: number | undefined;
  /** When the answer came, Unix ms. */
  answered_ms: number;
}

/** A moment at which a Shield was killed. */
export interface Kill {
  readonly shield: number;
  /** Unix ms. */
  readonly at_ms: number;
}

const hasPolicy = (record: JournalRecord, name: string) =>
  record.policies.some((policy) => policy.name === name);

/** Whether the policy of words is asked, and lets it through. */
export function passesWords({ text }: Pick<Said, "text">): boolean {
  return text.length <= LONGEST && !text.includes(REFUSED_WORD);
}

/** What was found wrong, and how much was compared. */
export interface JournalFindings {
  readonly problems: string[];
  /** Records of messages, and decisions of policies in them. */
  readonly records: number;
  readonly decisions: number;
  readonly holes: number;
  /** Messages whose record went with a killed Shield. */
  readonly lost: number;
  /** The messages that the planted rule must refuse, and whose record lets them through. */
  readonly planted: ReadonlySet<string>;
}

/** Compares the lines of the journal with what was said. `unwritten_ms`: so long a Shield collects. */
export class JournalCheck {
  readonly #said: ReadonlyMap<string, Said>;
  /** The codes of each message's records. */
  readonly #seen = new Map<string, number[]>();
  readonly #record_ids = new Set<string>();
  readonly #problems: string[] = [];
  readonly #planted = new Set<string>();
  #records = 0;
  #decisions = 0;
  #holes = 0;

  constructor(said: ReadonlyMap<string, Said>) {
    this.#said = said;
  }

  /** Takes the next line. */
  take(line: JournalLine): void {
    if (isHole(line)) {
      this.#holes++;
      return;
    }
    if (line.hook !== "on_message" || line.message_id === null) return;
    if (this.#record_ids.has(line.id)) this.#problems.push(`${line.id} stands in it twice`);
    this.#record_ids.add(line.id);
    const said = this.#said.get(line.message_id);
    if (said === undefined) return void this.#problems.push(`${line.message_id} was never said`);
    this.#records++;
    this.#decisions += line.policies.length;
    const codes = this.#seen.get(line.message_id);
    if (codes === undefined) this.#seen.set(line.message_id, [line.code]);
    else codes.push(line.code);
    this.#compare(said, line);
    const words = line.policies.find(({ name }) => name === "words");
    if (words?.allowed === true && said.text.includes(PLANTED_WORD)) this.#planted.add(said.id);
  }

  #compare(said: Said, record: JournalRecord): void {
    const { id, text } = said;
    // A Shield that has just started refuses until its policies are loaded; the SDK sends once more.
    if (record.policies.some(({ fault }) => fault !== null)) return;
    if (record.reason === "policy-fault" || record.reason === "policy-loading") return;
    if (hasPolicy(record, "words") !== text.length <= LONGEST) {
      this.#problems.push(`${id}: ${text.length} characters, asked ${record.policies.length}`);
    }
    const words = record.policies.find(({ name }) => name === "words");
    if (words !== undefined && words.allowed !== passesWords(said)) {
      this.#problems.push(`${id}: the policy of words says ${words.allowed}: ${text}`);
    }
  }

  /** Ends the comparison: each message has a record, but for those that went with a killed Shield. */
  end(kills: readonly Kill[], unwritten_ms: number): JournalFindings {
    let lost = 0;
    for (const said of this.#said.values()) {
      const { code } = said;
      const codes = this.#seen.get(said.id);
      // A message that was sent again has a record for each time, in whatever order they are read.
      if (code !== undefined && codes !== undefined && !codes.includes(code)) {
        this.#problems.push(
          `${said.id}: recorded ${codes.join(", ")}, the client was told ${code}`,
        );
      }
      if (codes !== undefined || code === undefined) continue;
      const { shield, answered_ms } = said;
      const went = kills.some((kill) =>
        kill.shield === shield && answered_ms >= kill.at_ms - unwritten_ms &&
        answered_ms <= kill.at_ms + unwritten_ms
      );
      if (went) lost++;
      else this.#problems.push(`${said.id} was answered (${code}) and has no record`);
    }
    return {
      problems: this.#problems,
      records: this.#records,
      decisions: this.#decisions,
      holes: this.#holes,
      lost,
      planted: this.#planted,
    };
  }
}

/** What differs between the flips that were found and those that must be. */
export function compareFlips(
  found: readonly (string | null)[],
  expected: ReadonlySet<string>,
): string[] {
  const ids = new Set(found);
  return [
    ...[...expected].filter((id) => !ids.has(id)).map((id) => `${id} flips, and was not found`),
    ...[...ids].filter((id) => id === null || !expected.has(id)).map((id) => `${id} does not flip`),
  ];
}
