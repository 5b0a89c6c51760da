/** Two witnesses that listen in this process, for any Shields. */
import { cosigner, cosignersOf, encodeVerifier, type Verifier } from "@arqon/proto";
import type { TreeFiles, TreeReader } from "../../shared/proof/reader.ts";
import { Witness } from "../../shared/proof/witness.ts";
import { serving } from "../../shared/testing/serving.ts";
import { until } from "../../shared/testing/until.ts";
import { signerOf } from "./made_tree.ts";
import { grown } from "./served.ts";

type Forks = (readonly [string, string])[];

/** A witness that knows these keys, on a socket; it adds the forks that it sees. */
export async function witnessOf(name: string, logs: readonly Verifier[], forks: Forks) {
  const signer = cosigner(await signerOf(name), Date.now);
  const keep = () => Promise.resolve();
  const witness = new Witness({ signer, logs, seen: new Map(), keep });
  const server = serving(async (request) => {
    const { status, body, fork } = await witness.add(await request.text());
    if (fork !== undefined) forks.push(fork);
    return new Response(body, { status });
  });
  const named = { url: server.url, vkey: encodeVerifier(signer) };
  return { signer, named, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** Two witnesses that know the keys in `logs`, and the forks that they have seen. */
export async function twoWitnesses() {
  const logs: Verifier[] = [];
  const forks: Forks = [];
  const opened = await Promise.all(["w1", "w2"].map((name) => witnessOf(name, logs, forks)));
  const named = opened.map(({ named: { url, vkey } }) => `{ url = "${url}", vkey = "${vkey}" }`);
  const signers = opened.map(({ signer }) => signer);
  return {
    logs,
    forks,
    vkeys: opened.map(({ named }) => named.vkey),
    config: `[proof]\nwitnesses = [${named.join(", ")}]\n`,
    /** Waits until both have cosigned a tree of that size. */
    async cosigned(files: TreeFiles, verifier: Verifier, size: number): Promise<TreeReader> {
      let tree = await grown(files, verifier, size);
      await until("both witnesses have cosigned", async () => {
        tree = await grown(files, verifier, size);
        return (await cosignersOf(tree.note, signers)).length === 2;
      }, 120_000);
      return tree;
    },
    [Symbol.asyncDispose]: async () =>
      void await Promise.all(opened.map((one) => one[Symbol.asyncDispose]())),
  };
}
