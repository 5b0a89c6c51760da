/**
 * `arq auth keys`: makes a key pair. The private JWK is for a token server, the public set for the bus. It
 * never overwrites a key.
 */
import { cannotWrite, CommandError } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { newKeyPair } from "../../bus/token.ts";
import type { Flags } from "../../program/flags.ts";

const PRIVATE_NAME = "arqon-private.jwk.json";
const PUBLIC_NAME = "arqon-jwks.json";

async function create(io: Io, path: string, value: unknown, mode: number): Promise<void> {
  try {
    await io.files.create(path, `${JSON.stringify(value, undefined, 2)}\n`, mode);
  } catch (error) {
    if (error instanceof Error && error.name === "AlreadyExists") {
      throw new CommandError(`${path} exists already`, 1, "name another folder with --out");
    }
    throw cannotWrite(path, error);
  }
}

/** Writes both key files and says what to do with them. */
export async function authKeys(io: Io, flags: Flags<"alg" | "out">): Promise<number> {
  const folder = resolvePath(io.cwd, flags.out).replace(/\/+$/, "");
  const { private_jwk, public_jwk } = await newKeyPair(flags.alg);
  const private_key = `${folder}/${PRIVATE_NAME}`;
  const jwks = `${folder}/${PUBLIC_NAME}`;
  await io.files.makeDirectory(folder).catch((error: unknown) => {
    throw cannotWrite(folder, error);
  });
  await create(io, private_key, private_jwk, 0o600);
  await create(io, jwks, { keys: [public_jwk] }, 0o644);
  if (flags.json === true) {
    const report = { private_key, jwks, kid: public_jwk.kid, alg: flags.alg };
    await print(io.stdout, `${JSON.stringify(report)}\n`);
    return 0;
  }
  await print(
    io.stdout,
    `private key  ${private_key}   keep it with your token server, mode 0600
public set   ${jwks}   give it to the bus:

[[auth.issuers]]
issuer = "https://issuer.example"
audience = "arqon"
jwks_file = ${JSON.stringify(jwks)}
algorithms = [${JSON.stringify(flags.alg)}]
tenants = ["default"]
roles = ["user"]

A token: arq auth gen --key ${private_key} --issuer https://issuer.example --audience arqon
`,
  );
  return 0;
}
