/**
 * Has checkpoints cosigned by witnesses (c2sp.org/tlog-witness), which sign what continues a log as they know it. A
 * checkpoint is published before a witness sees it: none has seen what a Shield that then died never published.
 */
import { RecentMap } from "../../shared/containers/recent_map.ts";
import { textOf } from "../../shared/listeners/answer_body.ts";
import type { Logger } from "../../shared/logs/log.ts";
import {
  consistencyProof,
  cosignersOf,
  decodeWitness,
  isPowerOfTwo,
  openNote,
  pastProof,
  type SubtreeReader,
  type Verifier,
} from "@arqon/proto";
import { encodeShown } from "../../shared/proof/witness.ts";

const WAIT_MS = 2_000;
/** So long a witness that has not answered, or that refuses a log, is not asked again, in ms. */
const AWAY_MS = 30_000;
/** How often one checkpoint is shown to a witness that says that it has seen another size than is known here. */
const SHOWN_MAX = 3;
/** The most bytes of what a witness answers: more than a note may have. */
const ANSWER_BYTES_MAX = 65_536;
/** Logs whose size at a witness is known; of others the witness says it. */
const SIZES_MAX = 10_000;

/** A published checkpoint. */
export interface Published {
  readonly origin: string;
  readonly size: number;
  readonly note: string;
  readonly read: SubtreeReader;
}

/** What it needs of the process. */
export interface WitnessesOptions {
  readonly witnesses: readonly { readonly url: string; readonly vkey: string }[];
  readonly counts: { cosigned: number; uncosigned: number; forks: number };
  readonly log: Logger;
  readonly monotonic_ms: () => number;
  /** How long a checkpoint waits for its witnesses, which are asked at the same time; absent: 2 s. */
  readonly wait_ms?: number;
}

interface Asked {
  readonly url: string;
  readonly verifier: Verifier;
}

/** The witnesses of all logs of a process. */
export class Witnesses {
  readonly #options: WitnessesOptions;
  readonly #asked: readonly Asked[];
  /** By witness and log. */
  readonly #sizes = new RecentMap<string, number>(SIZES_MAX);
  /** By witness, and by witness and log: until when it is not asked. */
  readonly #away = new RecentMap<string, number>(SIZES_MAX);

  constructor(options: WitnessesOptions) {
    this.#options = options;
    this.#asked = options.witnesses.flatMap(({ url, vkey }) => {
      const verifier = decodeWitness(vkey);
      return verifier === undefined ? [] : [{ url: url.replace(/\/+$/, ""), verifier }];
    });
  }

  /** The lines of those that have not cosigned the checkpoint and do so now, for its end. Never rejects. */
  readonly cosign = async (published: Published): Promise<string> =>
    (await Promise.all(this.#asked.map((one) => this.#cosignedBy(one, published)))).join("");

  async #cosignedBy(asked: Asked, published: Published): Promise<string> {
    const { counts, log, monotonic_ms } = this.#options;
    const { url, verifier } = asked;
    const { origin, note } = published;
    const name = `${url} ${origin}`;
    const isAway = (key: string) => (this.#away.get(key) ?? -Infinity) > monotonic_ms();
    if ((await cosignersOf(note, [verifier])).length > 0) return "";
    if (!isAway(url) && !isAway(name)) {
      try {
        const { status, body, is_fork } = await this.#shown(asked, name, published);
        if (status === 200) {
          const { lines } = await openNote(note + body, [verifier]);
          this.#sizes.set(name, published.size);
          counts.cosigned++;
          return lines.join("");
        }
        this.#away.set(name, monotonic_ms() + AWAY_MS);
        if (is_fork) counts.forks++;
        log[is_fork ? "error" : "warn"](
          is_fork
            ? "a witness has signed another transparency log of that name"
            : "a witness has not cosigned a transparency log",
          { origin, witness: verifier.name, status, answer: body.slice(0, 200) },
        );
      } catch (error) {
        this.#away.set(url, monotonic_ms() + AWAY_MS);
        log.warn("a witness does not answer", { origin, witness: verifier.name, error });
      }
    }
    counts.uncosigned++;
    return "";
  }

  /**
   * Shows the checkpoint; when the witness has seen another size than is known here, again. It has another tree when it
   * refuses one that begins where it ends: as long as it names other sizes, other Shields may be showing it theirs.
   */
  async #shown({ url }: Asked, name: string, { note, size, read }: Published) {
    const signal = AbortSignal.timeout(this.#options.wait_ms ?? WAIT_MS);
    const post = async (old_size: number, prove = consistencyProof) => {
      const proof = await prove(read, old_size, size);
      const body = encodeShown({ old_size, proof, note });
      const asked = { method: "POST", body, signal, redirect: "manual" } as const;
      const answer = await fetch(`${url}/add-checkpoint`, asked);
      return { status: answer.status, body: await textOf(answer, signal, ANSWER_BYTES_MAX) };
    };
    let old_size = Math.min(this.#sizes.get(name) ?? 0, size);
    for (let times = 1;; times++) {
      const { status, body } = await post(old_size);
      const seen = status === 409 && /^\d{1,15}\n$/.test(body) ? Number(body) : -1;
      const is_other = seen >= 0 && seen <= size && seen !== old_size;
      const is_fork = status === 422 || seen === size && old_size === size;
      // What it refused does not show that the past is another one.
      if (status === 422 && isPowerOfTwo(old_size)) await post(old_size, pastProof).catch(() => {});
      if (!is_other || times === SHOWN_MAX) return { status, body, is_fork };
      old_size = seen;
    }
  }
}
