/**
 * The one-shot service `keys` of compose.yaml: makes a development key on the first start, the private
 * one into the folder of its first argument, the public set into that of its second. A key that is there
 * stays. Not for production: `arq auth keys` is, on the machine of the token server.
 */
import { newKeyPair } from "../../arq/bus/token.ts";

const PRIVATE_NAME = "arqon-private.jwk.json";
const PUBLIC_NAME = "arqon-jwks.json";

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whole or not at all: who reads the file never sees half of it. */
async function write(path: string, value: unknown, mode: number): Promise<void> {
  const temporary = `${path}.new`;
  await Deno.writeTextFile(temporary, `${JSON.stringify(value)}\n`, { mode });
  await Deno.rename(temporary, path);
}

/** Makes the pair unless both files are there; says which it was. Rejects when it cannot write. */
export async function ensureDevKeys(keys: string, issuer: string): Promise<"made" | "kept"> {
  const private_file = `${keys}/${PRIVATE_NAME}`;
  const public_file = `${issuer}/${PUBLIC_NAME}`;
  if (await isThere(private_file) && await isThere(public_file)) return "kept";
  const { private_jwk, public_jwk } = await newKeyPair("RS256");
  await write(private_file, private_jwk, 0o600);
  await write(public_file, { keys: [public_jwk] }, 0o644);
  return "made";
}

if (import.meta.main) {
  const [keys = "/keys", issuer = "/issuer"] = Deno.args;
  console.log(`development key: ${await ensureDevKeys(keys, issuer)}`);
}
