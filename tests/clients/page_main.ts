/** Visits in a page: `globalThis.clients` has what the test calls. Headers are not for pages. */
import { refused, visit } from "./visit.ts";
import type { AnySocket, Connect, Refused, Seen, Visit } from "./visit.ts";

/** What the test calls in the page. */
export interface PageClients {
  visit(go: Visit, text: string): Promise<Seen>;
  refused(go: Visit): Promise<Refused>;
}

const connect: Connect = (url, protocols) => new WebSocket(url, protocols) as unknown as AnySocket;

const clients: PageClients = {
  visit: (go, text) => visit(connect, go, text),
  refused: (go) => refused(connect, go),
};
Object.assign(globalThis, { clients });
