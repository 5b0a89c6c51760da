{{/* Parts that several templates have. They are for this chart alone. */}}

{{/* Labels of an object itself; what selects pods is their name alone, as in deploy/kubernetes. */}}
{{- define "arqonbus.labels" -}}
app.kubernetes.io/part-of: arqonbus
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image of ours: (list $ NAME). */}}
{{- define "arqonbus.image" -}}
{{- $root := index . 0 -}}
{{- $image := $root.Values.image -}}
{{- $digest := $image.tag | empty | ternary (get $image.digests (index . 1)) "" -}}
{{- $suffix := $digest | empty | ternary "" (print "@" $digest) -}}
{{- printf "%s/%s:%s%s" $image.registry (index . 1) ($image.tag | default $root.Chart.AppVersion) $suffix | quote -}}
{{- end }}

{{/* Where pods run, and with which credentials their images are pulled: (list $ VALUES). */}}
{{- define "arqonbus.placing" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The configuration of a part: the given one, or the chart's, which is for the chart's NATS: (list $ PART GIVEN). */}}
{{- define "arqonbus.config" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $given := index . 2 -}}
{{- if $given -}}
{{- $given -}}
{{- else if not $root.Values.nats.enabled -}}
{{- fail (printf "nats.enabled is false: give %s.config, whose [nats] urls name your own servers" $part) -}}
{{- else -}}
{{- $text := $root.Files.Get (printf "files/%s.toml" $part) -}}
{{- $text = $text | replace "\"https://issuer.example\"" (toJson $root.Values.auth.issuer) -}}
{{- $text = $text | replace "audience = \"arqon\"" (printf "audience = %s" (toJson $root.Values.auth.audience)) -}}
{{- $proxies := list -}}
{{- range $root.Values.shield.trustedProxies }}{{ $proxies = append $proxies (toJson .) }}{{ end -}}
{{- regexReplaceAllLiteral "trusted_proxies = \\[[^\\]]*\\]" $text (printf "trusted_proxies = [%s]" (join ", " $proxies)) -}}
{{- end -}}
{{- end }}

{{- define "arqonbus.shieldConfig" -}}
{{- include "arqonbus.config" (list . "shield" .Values.shield.config) -}}
{{- end }}

{{- define "arqonbus.brainConfig" -}}
{{- include "arqonbus.config" (list . "brain" .Values.brain.config) -}}
{{- end }}

{{- define "arqonbus.natsConfig" -}}
{{- .Values.nats.config | default (.Files.Get "files/nats.conf") -}}
{{- end }}
