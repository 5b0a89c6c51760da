/**
 * Has checkpoints cosigned by witnesses (c2sp.org/tlog-witness), which sign a checkpoint that continues the log they
 * know. A checkpoint is published before a witness sees it, so no witness knows an unpublished checkpoint of a Shield
 * that died.
 */
import type { Env } from "../../shared/env.ts";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import { textOf } from "../../shared/listeners/answer_body.ts";
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
/** How long a witness that has not answered, or that refuses a log, is not asked again, in ms. */
const AWAY_MS = 30_000;
/** How often one checkpoint is sent to a witness that reports another size than is known here. */
const SHOWN_MAX = 3;
/** The most bytes of a witness's answer: more than a note may have. */
const ANSWER_BYTES_MAX = 65_536;
/** The logs whose size at a witness is known; for others the witness reports it. */
const SIZES_MAX = 10_000;

/** A published checkpoint. */
export interface Published {
  readonly origin: string;
  readonly size: number;
  readonly note: string;
  readonly read: SubtreeReader;
}

interface WitnessesOptions extends Pick<Env, "log" | "monotonic_ms"> {
  readonly witnesses: readonly { readonly url: string; readonly vkey: string }[];
  readonly counts: { cosigned: number; uncosigned: number; forks: number };
  /** How long a checkpoint waits for its witnesses, which are asked at the same time; absent: 2 s. */
  readonly wait_ms?: number;
}

interface Witness {
  readonly url: string;
  readonly verifier: Verifier;
}

/** The witnesses of all logs of a process. */
export class Witnesses {
  readonly #options: WitnessesOptions;
  readonly #witnesses: readonly Witness[];
  /** By witness and log. */
  readonly #sizes = new RecentMap<string, number>(SIZES_MAX);
  /** By witness, and by witness and log: the time until which it is not asked. */
  readonly #away = new RecentMap<string, number>(SIZES_MAX);

  constructor(options: WitnessesOptions) {
    this.#options = options;
    this.#witnesses = options.witnesses.flatMap(({ url, vkey }) => {
      const verifier = decodeWitness(vkey);
      return verifier === undefined ? [] : [{ url: url.replace(/\/+$/, ""), verifier }];
    });
  }

  /** The new cosignature lines for the end of the checkpoint. Never rejects. */
  readonly cosign = async (published: Published): Promise<string> =>
    (await Promise.all(this.#witnesses.map((one) => this.#cosignedBy(one, published)))).join("");

  async #cosignedBy(witness: Witness, published: Published): Promise<string> {
    const { counts, log, monotonic_ms } = this.#options;
    const { url, verifier } = witness;
    const { origin, note } = published;
    const name = `${url} ${origin}`;
    const isAway = (key: string) => (this.#away.get(key) ?? -Infinity) > monotonic_ms();
    if ((await cosignersOf(note, [verifier])).length > 0) return "";
    if (!isAway(url) && !isAway(name)) {
      try {
        const { status, body, is_fork } = await this.#shown(witness, name, published);
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
   * Sends the checkpoint, and again if the witness has another size than is known here. The witness has another tree if
   * it refuses a proof from its own size. While it names changing sizes, other Shields may be sending it theirs.
   */
  async #shown({ url }: Witness, name: string, { note, size, read }: Published) {
    const signal = AbortSignal.timeout(this.#options.wait_ms ?? WAIT_MS);
    const post = async (old_size: number, prove = consistencyProof) => {
      const proof = await prove(read, old_size, size);
      const body = encodeShown({ old_size, proof, note });
      const init = { method: "POST", body, signal, redirect: "manual" } as const;
      const answer = await fetch(`${url}/add-checkpoint`, init);
      return { status: answer.status, body: await textOf(answer, signal, ANSWER_BYTES_MAX) };
    };
    let old_size = Math.min(this.#sizes.get(name) ?? 0, size);
    for (let times = 1;; times++) {
      const { status, body } = await post(old_size);
      const seen = status === 409 && /^\d{1,15}\n$/.test(body) ? Number(body) : -1;
      const is_other = seen >= 0 && seen <= size && seen !== old_size;
      const is_fork = status === 422 || seen === size && old_size === size;
      // Its refusal does not prove that its past differs.
      if (status === 422 && isPowerOfTwo(old_size)) await post(old_size, pastProof).catch(() => {});
      if (!is_other || times === SHOWN_MAX) return { status, body, is_fork };
      old_size = seen;
    }
  }
}
