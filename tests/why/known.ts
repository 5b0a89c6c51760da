/**
 * What the script knows by itself: what its clients did, saw and were told, whom it kicked and banned, and
 * which Shields it hurt. Data only; nothing here comes from a ledger. Times are Unix ms of one clock.
 */

/** One subscription as its client knows it. */
export interface Stay {
  readonly room_id: string;
  readonly asked_ms: number;
  readonly no_echo: boolean;
  /** Undefined: no answer came, or it was refused. */
  acked_ms: number | undefined;
  /** From then on it may be over: it asked to leave, or was told that it is out. */
  left_ms: number | undefined;
}

/** One connection from its WELCOME on. */
export interface Sitting {
  readonly tenant_id: string;
  readonly user_id: string;
  readonly connection_id: string;
  readonly node_id: string;
  readonly opened_ms: number;
  readonly stays: Stay[];
  /** When which message came. */
  readonly got: Map<string, number>;
  /** When which room was told that messages are missing. */
  readonly gaps: { readonly room_id: string; readonly at_ms: number }[];
  ended_ms: number | undefined;
  /** Of the close; 0: the client ended it. */
  code: number;
}

/** A message that a client published. */
export interface Said {
  readonly id: string;
  readonly tenant_id: string;
  readonly room_id: string;
  /** The publisher's connection, and which of its messages this is. */
  readonly by: string;
  readonly number: number;
  /** Of `latest` rooms; "": none. */
  readonly key: string;
  readonly sent_ms: number;
  answered_ms: number | undefined;
  /** Of the answer; undefined: none came. */
  code: number | undefined;
  reason: string;
  /** In durable rooms, once somebody has got it. */
  offset: number;
}

/** A kick or a ban, from when it was asked for. */
export interface Hit {
  readonly kind: "kick" | "room-ban" | "ban";
  readonly tenant_id: string;
  readonly user_id: string;
  /** "": the whole tenant. */
  readonly room_id: string;
  readonly asked_ms: number;
}

/** All of it. */
export interface Known {
  readonly sittings: Sitting[];
  readonly said: Map<string, Said>;
  readonly hits: Hit[];
}

/** A new, empty record. */
export const nothingKnown = (): Known => ({ sittings: [], said: new Map(), hits: [] });
