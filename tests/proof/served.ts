/** A bus with a tree, and what reads it over HTTP, for the tests here. */
import assert from "node:assert/strict";
import { decodeVerifier, type Verifier } from "@arqon/proto";
import { TreeReader } from "../../shared/proof/reader.ts";
import type { TreeFiles } from "../../shared/proof/reader.ts";
import { seen, until } from "../../shared/testing/until.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import type { TestBus } from "../harness/test_bus.ts";

/** Every room has a public tree, but those that begin with `own-`. */
export const PROOF_CONFIG = `
[server]
drain_ms = 0
[proof]
records = ["audit"]
origin = "bus.example"
[[rooms]]
room = "*"
durable = true
proof = true
proof_public = true
[[rooms]]
room = "own-*"
durable = true
proof = true
[[rooms]]
room = "plain"
durable = true
`;

/** Trees of every record, the audit log's as public as it gets. */
export const RECORDS_CONFIG = `
[server]
drain_ms = 0
[proof]
records = ["audit", "journal", "usage"]
origin = "bus.example"
public_records = true
[journal]
journal = "all"
#constant journal.flush_ms = 50
[usage]
enabled = true
#constant usage.flush_ms = 50
[[rooms]]
room = "bets"
durable = true
`;

/** The parts of a bus that are needed. */
export type Served = Pick<TestBus, "http_url" | "token">;

/** Where a tree is served. */
export const treeUrl = ({ http_url }: Pick<Served, "http_url">, tree: string) =>
  `${http_url}/v1/proof/${tree}`;

/**
 * Reads the files of a tree; with a token, as its holder. A tree that another Shield creates answers 503 until its
 * first checkpoint: the request is repeated after the time in the answer.
 */
export function served(bus: Pick<Served, "http_url">, tree: string, token?: string): TreeFiles {
  return async (path) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const ask = async () => {
      const answer = await fetch(`${treeUrl(bus, tree)}/${path}`, { headers });
      return { status: answer.status, bytes: new Uint8Array(await answer.arrayBuffer()) };
    };
    const { status, bytes } = await seen(path, ask, ({ status }) => status !== 503);
    assert.equal(status, 200, `${path}: ${new TextDecoder().decode(bytes)}`);
    return bytes;
  };
}

/** The newest vkey of a tree, as it is served. */
export async function vkeyOf(files: TreeFiles): Promise<string> {
  return new TextDecoder().decode(await files("key")).split("\n")[0]!;
}

/** The verifier of a tree, as it is served. */
export async function verifierOf(files: TreeFiles): Promise<Verifier> {
  const verifier = decodeVerifier(await vkeyOf(files));
  assert(verifier !== undefined);
  return verifier;
}

/** Publishes `count` messages to a room. */
export async function publish(
  { http_url, token }: Served,
  room: string,
  count: number,
  from = 0,
): Promise<void> {
  const peer = new HttpPeer(http_url, token);
  for (let at = 0; at < count; at += 500) {
    const messages = Array.from({ length: Math.min(500, count - at) }, (_, n) => ({
      room,
      type: "t",
      data: { n: from + at + n, half: 0.5, text: "ä\u2028" },
    }));
    const { status, body } = await peer.call("POST", "messages", { messages });
    assert.equal(status, 200, JSON.stringify(body));
  }
}

/** The messages of a room as the history gives them, each as its own text. */
export async function textsOf({ http_url, token }: Served, room: string): Promise<string[]> {
  const { messages } = await new HttpPeer(http_url, token).history(room);
  // As the bus writes it: the members in that order, without white space.
  return messages.map((message) => JSON.stringify(message));
}

/** Waits for the tree to have this number of entries. */
export async function grown(
  files: TreeFiles,
  verifier: Verifier,
  size: number,
): Promise<TreeReader> {
  let tree: TreeReader | undefined;
  await until(`a tree of ${size} entries`, async () => {
    tree = await TreeReader.open(files, verifier);
    return tree.checkpoint.size >= size;
  });
  return tree!;
}
