/**
 * Detects an untrusted proxy in front, since it is none of `[server] trusted_proxies`, or names clients in the other
 * header: all its clients then have one address, and share the limits of one. Anybody may write such a header, so
 * nothing but a log line and a counter depends on it.
 */
import type { ClientOf } from "../http1/exchange.ts";
import type { Logger } from "../logs/log.ts";
import { type ForwardedHeader, lastHop } from "./forwarded.ts";

/** The most remembered peers; beyond that the oldest is dropped. */
const PEERS_MAX = 64;
const HEADERS: readonly ForwardedHeader[] = ["x-forwarded-for", "forwarded"];

/** Counts requests of untrusted peers that name several clients. */
export class UnseenClients {
  /** Requests that named another client than the last one of the same peer. */
  count = 0;
  readonly #log: Logger;
  /** By peer, the client that it named last. */
  readonly #named = new Map<string, string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Wraps `known`: checks each request for which it finds no other client than the peer. */
  behind(known: ClientOf): ClientOf {
    return (peer, valuesOf) => {
      const client = known(peer, valuesOf);
      if (client === peer) this.#look(peer.hostname, valuesOf);
      return client;
    };
  }

  #look(peer: string, valuesOf: Parameters<ClientOf>[1]): void {
    for (const header of HEADERS) {
      const named = lastHop(valuesOf(header), header);
      if (named === undefined) continue;
      const before = this.#named.get(peer);
      this.#named.set(peer, named);
      const [oldest] = this.#named.keys();
      if (this.#named.size > PEERS_MAX && oldest !== undefined) this.#named.delete(oldest);
      if (before !== undefined && before !== named) this.#notice(peer, header);
      return;
    }
  }

  #notice(peer: string, header: ForwardedHeader): void {
    if (this.count++ > 0) return;
    this.#log.warn(
      "one address reports several clients but is not trusted: they share its limits; " +
        "is it a proxy that [server] trusted_proxies should list, or another forwarded_header?",
      { peer, header },
    );
  }
}
