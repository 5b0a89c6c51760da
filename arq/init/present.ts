/**
 * The owner of a file that `arq init` finds: its own while it is as some `arq init` has written it, whatever its ports and
 * its words for `arq` were, else the user's. Pure; reading and writing is `commands/dev/init.ts`.
 */
import { INIT_FILES, INIT_GITIGNORE, initConfig, initReadme } from "./templates.ts";
import type { InitPorts } from "./templates.ts";

/** The ports of a configuration that `arq init` has written. */
function portsIn(text: string): InitPorts {
  const [port = 0, ops_port = 0, admin_port = 0] = [...text.matchAll(/^port = (\d+)$/gm)]
    .map(([, digits]) => Number(digits));
  return { port, ops_port, admin_port };
}

/** Whether nobody has changed the file since `arq init` wrote it; `data` is what would be written now. */
export function isOwn(path: string, present: Uint8Array, data: string | Uint8Array): boolean {
  const text = new TextDecoder().decode(present);
  switch (path) {
    case INIT_FILES.config: {
      const [, arq] = /^# {3}(.+) serve --config/m.exec(text) ?? [];
      return text === initConfig(portsIn(text), arq);
    }
    case INIT_FILES.readme: {
      const [, arq] = /^Made by `(.+) init`/m.exec(text) ?? [];
      const [, admin_port] = /127\.0\.0\.1:(\d+)\/console/.exec(text) ?? [];
      return text === initReadme({ admin_port: Number(admin_port) }, arq);
    }
    default: {
      const wanted = typeof data === "string" ? new TextEncoder().encode(data) : data;
      return present.length === wanted.length && present.every((byte, at) => byte === wanted[at]);
    }
  }
}

/** The user's .gitignore with the lines that keep the private key out of a repository; undefined: it has them. */
export function withIgnored(present: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(present);
  const lines = new Set(text.split("\n").map((line) => line.trim()));
  const wanted = INIT_GITIGNORE.split("\n").filter((line) => line.startsWith("/"));
  if (wanted.every((line) => lines.has(line))) return undefined;
  return `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${INIT_GITIGNORE}`;
}
