/** A question to `GET /v1/why`, and as much of its answer as is judged. Data only. */
import type { Said } from "./known.ts";

/** The stored ledger of one life of a Shield. */
export interface Former {
  readonly node_id: string;
  readonly life_ms: number;
  readonly since_ms: number;
  readonly until_ms: number;
}

/** A message, a user of a tenant, and when that was asked for and answered, Unix ms. */
export interface Question {
  readonly said: Said;
  readonly tenant_id: string;
  readonly user_id: string;
  readonly asked_ms: number;
  readonly answered_ms: number;
  /** It was asked for by room and offset instead of by its id. */
  readonly by_offset: boolean;
}

/** The outcome of the message for a connection, as the bus says it. */
export interface Outcome {
  readonly state: string;
  readonly why?: string;
  readonly at_ms?: number;
  readonly from_ms?: number;
  readonly until_ms?: number;
}

/** The answer, as far as it is judged. */
export interface Answer {
  readonly messages: readonly {
    readonly room_id: string;
    readonly message_id: string;
    readonly duplicate: boolean;
    readonly heard: readonly { readonly node_id: string }[];
  }[];
  readonly connections: readonly {
    readonly node_id: string;
    readonly connection_id: string;
    readonly user_id: string;
    readonly began_ms?: number;
    /** Its Shield is not there any more. */
    readonly lost?: { readonly until_ms: number };
    readonly ended?: { readonly at_ms: number; readonly code: number };
    readonly outcomes: readonly Outcome[];
  }[];
  readonly ledgers: readonly { readonly node_id: string; readonly since_ms: number | null }[];
  /** What is stored of Shields that are not there any more. */
  readonly former?: readonly Former[];
  readonly nodes: { readonly answered: readonly string[]; readonly silent: readonly string[] };
}
