/**
 * `arq proof witness`: cosigns checkpoints of the logs named on the command line (c2sp.org/tlog-witness). A file has
 * the cosigned checkpoints: it never signs a checkpoint that does not extend them.
 */
import { textOf } from "../../../shared/listeners/answer_body.ts";
import { cosigner, encodeVerifier, type Signer } from "@arqon/proto";
import { pemKey } from "../../../shared/proof/signing.ts";
import { decodeSeen, Witness, type WitnessAnswer } from "../../../shared/proof/witness.ts";
import { CommandError, EXIT, whyOf } from "../../terminal/exit.ts";
import { writeOutput } from "../../terminal/input.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { textIn, verifiersIn } from "./source.ts";
import type { Flags } from "../../program/flags.ts";

/** `listen` is HOST:PORT, and `vkey` has the keys of logs. */
type WitnessFlags = Flags<"keyFile" | "listen" | "name" | "state" | "vkey">;

type Answer = Omit<WitnessAnswer, "status"> & { readonly status: number };

const BODY_BYTES_MAX = 131_072;

/** Answers until the signal. */
export async function witness(io: Io, flags: WitnessFlags): Promise<number> {
  const signer = await signerFor(io, flags);
  const logs = verifiersIn(flags.vkey);
  const state = resolvePath(io.cwd, flags.state);
  const seen = await seenIn(io, state);
  const one = new Witness({ signer, logs, seen, keep: () => write(io, state, seen) });
  const say = (text: string, found: unknown) =>
    flags.json === true
      ? print(io.stdout, `${JSON.stringify(found)}\n`)
      : print(io.stderr, `${text}\n`);
  const { hostname, port } = new URL(`http://${flags.listen}`);
  const vkey = encodeVerifier(signer);
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve(
      { hostname, port: Number(port || 80), signal: io.signal, onListen() {} },
      async (request) => {
        const { status, body, fork } = await answer(one, request, io.signal);
        if (fork !== undefined) {
          const [older, newer] = fork;
          await say(`A fork: two signed trees of one log.\n\n${older}\n${newer}`, { fork });
        }
        const type = status === 409 ? "text/x.tlog.size" : "text/plain; charset=utf-8";
        return new Response(body, { status, headers: { "content-type": type } });
      },
    );
  } catch (error) {
    throw new CommandError(`cannot listen on ${flags.listen}: ${whyOf(error)}`);
  }
  const url = `http://${hostname}:${server.addr.port}`;
  if (flags.json !== true) await print(io.stdout, `${vkey}\n`);
  await say(`The witness listens on ${url}`, { vkey, url });
  await server.finished;
  return EXIT.ok;
}

async function answer(one: Witness, request: Request, signal: AbortSignal): Promise<Answer> {
  if (request.method !== "POST" || !new URL(request.url).pathname.endsWith("/add-checkpoint")) {
    return { status: 404, body: "POST add-checkpoint\n" };
  }
  // The client receives a 413, or has disconnected.
  const body = await textOf(new Response(request.body), signal, BODY_BYTES_MAX)
    .catch(() => undefined);
  return body === undefined ? { status: 413, body: "it is too large\n" } : await one.add(body);
}

/** The key of the file, which signs as the witness. */
async function signerFor(io: Io, { name, keyFile }: WitnessFlags): Promise<Signer> {
  const path = resolvePath(io.cwd, keyFile);
  try {
    const key = pemKey(await textIn(io, path), name);
    if (key === undefined) throw new Error("is not an Ed25519 key");
    if (!("sign" in key)) throw new Error("is no private key");
    return cosigner(key, io.now);
  } catch (error) {
    throw new CommandError(
      `${path}: ${whyOf(error)}`,
      EXIT.failure,
      "openssl genpkey -algorithm ed25519 makes one",
    );
  }
}

/** The checkpoints of an earlier run. Throws for an invalid file, so that a restart without state is noticed. */
async function seenIn(io: Io, path: string): Promise<Map<string, string>> {
  if (await io.files.state(path) === undefined) return new Map();
  try {
    return decodeSeen(await textIn(io, path));
  } catch (error) {
    throw new CommandError(`${path}: ${whyOf(error)}`);
  }
}

/** Replaces the state file; resolves when it is on the disk. */
const write = (io: Io, path: string, seen: ReadonlyMap<string, string>): Promise<void> =>
  writeOutput(io, path, JSON.stringify(Object.fromEntries(seen)), 0o600);
