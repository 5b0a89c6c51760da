/**
 * The interface between a benchmark and its server: a *target* is a server with its processes, a *wire* is the protocol
 * between a load process and the target. Types only.
 */

/** Name of the target on the command line and in reports. */
export type TargetId =
  | "arqon"
  | "arqon-nats"
  | "arqon+native"
  | "arqon+centrifugo"
  | "deno"
  | "bun"
  | "nats-ws"
  | "centrifugo"
  | "socketio";

/** A capability that a scenario may require. A scenario skips targets without it, and reports that. */
export type Ability = "echo" | "rooms" | "tenants" | "tls" | "batch";

/** The options with which a scenario starts a target. */
export interface TargetOptions {
  /** Serve `wss://` with the target's certificate. */
  readonly tls: boolean;
  /** Number of tenants that need tokens, at least 1. */
  readonly tenants: number;
}

/** A server under measurement. */
export interface Target {
  readonly id: TargetId;
  /** Name of the target in tables. */
  readonly title: string;
  readonly abilities: ReadonlySet<Ability>;
  /**
   * Installs the target's dependencies, starts it, and waits until it accepts connections. Rejects with
   * TargetUnavailable.
   */
  start(options: TargetOptions): Promise<RunningTarget>;
}

/** A server that accepts connections. Disposal ends all its processes. */
export interface RunningTarget extends AsyncDisposable {
  readonly version: string;
  /** Processes of the target, including child processes. Their CPU time and memory count. */
  readonly pids: readonly number[];
  /** Processes that the target uses, reported separately: the NATS server and the Brain of a bus. */
  readonly beside_pids?: readonly number[];
  readonly wire: WireSpec;
}

/** The target cannot run on this machine; the message says what to install. */
export class TargetUnavailable extends Error {
  override readonly name = "TargetUnavailable";
}

/** The protocol and address of a target, as plain JSON for load processes. */
export interface WireSpec {
  readonly protocol: "arqon" | "raw" | "nats" | "centrifugo" | "socketio";
  /** An address with `ws:` or `wss:`. */
  readonly url: string;
  /** Addresses of the load processes, if one address has too few ports for all; the default is `url`. */
  readonly urls?: readonly string[];
  /** One token for each tenant, if the target has tenants. */
  readonly tokens: readonly string[];
  /** PEM of the authority that signed the certificate; absent without TLS. */
  readonly ca?: string;
}

/** The options of one connection. */
export interface WireOptions {
  /** Index of the tenant's token in `tokens`. */
  readonly tenant: number;
  /** Whether to request BATCH frames, if the wire has them. */
  readonly batch: boolean;
  /** Whether the connection receives only its own messages. A bare server then echoes and needs no rooms. */
  readonly echo?: boolean;
  /** Called for each delivery; the bytes are valid until it returns. */
  readonly onMessage: (body: Uint8Array) => void;
  /** Called for a refusal, and for a disconnection that this process did not start. */
  readonly onProblem: (what: string) => void;
}

/** A protocol; one for each `WireSpec.protocol`. */
export interface Wire {
  /** Opens a connection. Resolves with the server's greeting, which is when a user is connected. */
  open(spec: WireSpec, options: WireOptions): Promise<WireConnection>;
}

/** One connection of a load process. */
export interface WireConnection {
  /** Subscribes to a room. Resolves when the subscription is active. */
  subscribe(room: string): Promise<void>;
  /**
   * Publishes without waiting. `body` is copied or written before the return. A publisher that subscribes receives its
   * own messages.
   */
  publish(room: string, body: Uint8Array): void;
  close(): void;
}
