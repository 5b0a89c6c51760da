/**
 * Streams that have left a question unanswered: whether somebody leads them now. A server that takes
 * writes to one stream says nothing of another, whose copies may be without a leader. It asks only for
 * streams that are in doubt, and makes and changes nothing.
 */
import { ArqonError } from "@arqon/proto";
import type { Link } from "../connection/nats_link.ts";
import { callApi, CODES, Refusal, StreamLost } from "./nats_log_api.ts";

/** Who leads a stream, where there are several servers. */
interface Led {
  readonly cluster?: { readonly leader?: string };
}

/** JetStream's words for a stream that nobody leads. */
const LEADERLESS: readonly number[] = [
  CODES.temporarilyUnavailable,
  CODES.notLeader,
  CODES.offline,
  CODES.offlineBecause,
];
/** Streams of one error text; of more, how many. */
const NAMED_MAX = 5;

/** Why nobody answers for a stream; undefined: somebody does, or it is gone, which others find out. */
async function silenceOf(link: Link, stream: string): Promise<string | undefined> {
  const timeout_ms = link.request_timeout_ms / 2;
  try {
    const { cluster } = await callApi<Led>(
      link.connection,
      `STREAM.INFO.${stream}`,
      {},
      timeout_ms,
    );
    // A copy may answer that knows of no leader.
    return cluster === undefined || (cluster.leader ?? "") !== "" ? undefined : "it has no leader";
  } catch (error) {
    if (error instanceof StreamLost) return undefined;
    if (!(error instanceof Refusal)) return "its leader does not answer";
    return LEADERLESS.includes(error.code) ? "it has no leader" : undefined;
  }
}

/** The streams of one connection that are in doubt. As many at most as it has opened. */
export class Leaders {
  readonly #link: Link;
  readonly #doubted = new Set<string>();

  constructor(link: Link) {
    this.#link = link;
  }

  /** What was asked of the stream was not answered, whyever. */
  doubt(stream: string): void {
    this.#doubted.add(stream);
  }

  /**
   * Asks for all that are in doubt. Rejects with `spine-unavailable`, naming those that nobody answers
   * for; they stay in doubt.
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
