/** The expiry of this process's client certificates, read from their files at each scrape. */
import { X509Certificate } from "node:crypto";
import { Gauge, type Registry } from "../metrics/metrics.ts";
import type { ReadFile } from "./secret_file.ts";

/** Tables whose server may ask for a certificate. */
type Shown = { readonly tls_cert_file?: string | undefined } | undefined;
/** The parts of a configuration that name such files. */
export interface ClientCertificates {
  readonly nats?: Shown;
  readonly quota?: Shown;
}

/** Registers a gauge; an unreadable file, or one without a certificate, has no value. */
export function registerClientCertificates(
  registry: Registry,
  { nats, quota }: ClientCertificates,
  read: ReadFile,
): void {
  new Gauge({
    name: "arqon_client_certificate_not_after_seconds",
    help: "When the certificate that this process shows to that server ends, Unix time in seconds.",
    labelNames: ["server"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [server, shown] of Object.entries({ nats, quota })) {
        try {
          if (shown?.tls_cert_file === undefined) continue;
          const { validTo } = new X509Certificate(read(shown.tls_cert_file));
          this.set({ server }, Date.parse(validTo) / 1_000);
        } catch {
          // The connecting component reports it.
        }
      }
    },
  });
}
