/**
 * The load balancer of the Shields: nginx, which terminates TLS, distributes clients over them and allows a WebSocket
 * to be idle for an hour, as `deploy/kubernetes/ingress.yaml` configures ingress-nginx. Its address stays while the
 * Shields behind it change.
 */
import { until } from "../../shared/testing/until.ts";
import { TLS_FOLDER } from "../deployed_files.ts";
import { freePort } from "../harness/free_ports.ts";
import { startProxy } from "../proxies/proxies.ts";

/** A running nginx. */
export interface Ingress extends AsyncDisposable {
  /** `https://127.0.0.1:PORT`, with a certificate of the tests. */
  readonly url: string;
  /** Routes to these from now on, as `http://host:port`; none: 502. */
  direct(targets: readonly string[]): Promise<void>;
}

function configText(dir: string, port: number, targets: readonly string[]): string {
  // nginx requires at least one server; nobody listens on port 1.
  const servers = targets.length === 0 ? ["http://127.0.0.1:1"] : targets;
  const lines = servers.map((url) => `server ${new URL(url).host} max_fails=0;`).join(" ");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) =>
    `${name}_temp_path ${dir}/${name};`
  ).join(" ");
  return `
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  ${temporary}
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  upstream shields { ${lines} }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${TLS_FOLDER}server.pem;
    ssl_certificate_key ${TLS_FOLDER}server_key.pem;
    location /v1 {
      proxy_pass http://shields;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout 3600;
      proxy_send_timeout 3600;
      proxy_connect_timeout 2s;
    }
  }
}
`;
}

/** Starts it without servers. Rejects with what to install. */
export async function startIngress(): Promise<Ingress> {
  const port = freePort();
  const dir = await Deno.makeTempDir({ prefix: "arqon-ingress-" });
  const file = `${dir}/nginx.conf`;
  await Deno.writeTextFile(file, configText(dir, port, []));
  const args = ["-p", dir, "-c", file, "-g", "daemon off; user root;"];
  const { child, [Symbol.asyncDispose]: end } = await startProxy("nginx", args, port, dir);
  const workers = async () => {
    const args = ["-c", `cat /proc/${child.pid}/task/*/children`];
    const { stdout } = await new Deno.Command("sh", { args }).output();
    return new TextDecoder().decode(stdout).trim().split(/\s+/).filter((pid) => pid !== "");
  };
  await until("nginx has a worker", async () => (await workers()).length > 0);
  return {
    url: `https://127.0.0.1:${port}`,
    async direct(targets) {
      const before = new Set(await workers());
      await Deno.writeTextFile(file, configText(dir, port, targets));
      child.kill("SIGHUP");
      // The old worker keeps its existing connections.
      await until("nginx to reload", async () => (await workers()).some((pid) => !before.has(pid)));
    },
    [Symbol.asyncDispose]: end,
  };
}
