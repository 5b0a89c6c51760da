/**
 * Checks whether streams that left a request unanswered have a leader now. A server that accepts writes to one stream
 * may have no leader for another. It asks only about streams in doubt, and creates and changes nothing.
 */
import { ArqonError } from "@arqon/proto";
import type { Link } from "../connection/nats_link.ts";
import { callApi, CODES, Refusal, StreamLost } from "./nats_log_api.ts";

interface Led {
  readonly cluster?: { readonly leader?: string };
}

/** JetStream's error codes for a stream without a leader. */
const LEADERLESS: readonly number[] = [
  CODES.temporarilyUnavailable,
  CODES.notLeader,
  CODES.offline,
  CODES.offlineBecause,
];
/** The most streams named in one error text; the rest are counted. */
const NAMED_MAX = 5;

/** Why a stream does not answer; undefined: it does, or it was deleted, which others detect. */
async function silenceOf(link: Link, stream: string): Promise<string | undefined> {
  const timeout_ms = link.request_timeout_ms / 2;
  try {
    const { cluster } = await callApi<Led>(
      link.connection,
      `STREAM.INFO.${stream}`,
      {},
      timeout_ms,
    );
    // A replica that knows no leader may answer.
    return cluster === undefined || (cluster.leader ?? "") !== "" ? undefined : "it has no leader";
  } catch (error) {
    if (error instanceof StreamLost) return undefined;
    if (!(error instanceof Refusal)) return "its leader does not answer";
    return LEADERLESS.includes(error.code) ? "it has no leader" : undefined;
  }
}

/** The streams in doubt of one connection, at most as many as it has opened. */
export class Leaders {
  readonly #link: Link;
  readonly #doubted = new Set<string>();

  constructor(link: Link) {
    this.#link = link;
  }

  /** Records that a request to the stream had no answer, for any reason. */
  doubt(stream: string): void {
    this.#doubted.add(stream);
  }

  /**
   * Checks all streams in doubt. Rejects with `spine-unavailable`, naming those without an answer; they stay in doubt.
   */
  async prove(): Promise<void> {
    const found = await Promise.all([...this.#doubted].map(async (stream) => {
      const why = await silenceOf(this.#link, stream);
      if (why === undefined) this.#doubted.delete(stream);
      return why === undefined ? [] : [`${stream} (${why})`];
    }));
    const silent = found.flat();
    if (silent.length === 0) return;
    const more = silent.length > NAMED_MAX ? `, and ${silent.length - NAMED_MAX} more` : "";
    const named = silent.slice(0, NAMED_MAX).join(", ");
    throw new ArqonError("spine-unavailable", `nobody answers in NATS for ${named}${more}`);
  }
}
