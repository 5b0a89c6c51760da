/** The URL of the database of `[bridge.postgres]`, with the password from a file. Does not connect. */
import type { Config } from "../config/schema.ts";
import { isDatabaseUrl } from "../config/values/postgres.ts";
import { passwordIn, type ReadFile, readSecret, SecretProblem } from "./secret_file.ts";

/** Undefined without the table. Throws a ConfigError with the key and the invalid file. */
export function bridgedDatabase(
  { bridge: { postgres } }: Pick<Config, "bridge">,
  read: ReadFile,
): string | undefined {
  if (postgres?.database_file === undefined) return postgres?.database;
  const file = { key: "bridge.postgres.database_file", path: postgres.database_file };
  return readSecret(read, file, urlIn);
}

function urlIn(text: string): string {
  const url = passwordIn(text);
  if (isDatabaseUrl(url)) return url;
  throw new SecretProblem("holds no URL such as postgres://user:password@host:5432/name");
}
