{{- define "kp.name" -}}{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "kp.fullname" -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "kp.name" .) .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name (include "kp.name" .) | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "kp.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
app.kubernetes.io/name: {{ include "kp.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kube-pprof
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* immutable on workloads: nothing that changes between versions */}}
{{- define "kp.selector" -}}
app.kubernetes.io/name: {{ include "kp.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "kp.image" -}}
{{- $repository := ternary .Values.image.repository (printf "%s/%s" .Values.image.registry .Values.image.repository) (empty .Values.image.registry) -}}
{{- if .Values.image.digest -}}{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}{{ $repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "kp.serviceAccount" -}}
{{- $sa := (index .root.Values .component).serviceAccount -}}
{{- if $sa.name -}}{{ $sa.name }}{{- else if $sa.create -}}{{ include "kp.fullname" .root }}-{{ .component }}{{- else -}}default{{- end -}}
{{- end }}

{{- define "kp.registryURL" -}}
{{- if .Values.controller.registryURL -}}{{ .Values.controller.registryURL }}
{{- else -}}{{ ternary "http" "https" (eq .Values.registry.tls.mode "none") }}://{{ include "kp.fullname" . }}-registry.{{ .Release.Namespace }}.svc:{{ .Values.registry.service.port }}
{{- end -}}
{{- end }}

{{/* the Service over the pods' metrics; Prometheus' label job is its name */}}
{{- define "kp.metricsName" -}}{{ include "kp.fullname" . }}-metrics{{- end }}

{{/* an alert's expression or text, with the matchers of this release and thresholds put in; call with (list . TEXT) */}}
{{- define "kp.alertText" -}}
{{- $root := index . 0 -}}
{{- $rule := $root.Values.metrics.prometheusRule -}}
{{- $selector := default (printf "namespace=%q,job=%q" $root.Release.Namespace (include "kp.metricsName" $root)) $rule.selector -}}
{{- $text := index . 1 | replace "LEADER" "and on (instance) leader_election_master_status{SELECTOR} == 1" | replace "SELECTOR" $selector -}}
{{- range $name, $value := $rule.thresholds }}{{ $text = replace (printf "%%%s%%" $name) (toString $value) $text }}{{ end -}}
{{ $text }}
{{- end }}

{{/* what Pod Security "restricted" asks for, and a little more */}}
{{- define "kp.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "kp.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* flags as lines of the flat configuration file; large numbers come from YAML as floats and must not end as 1e+10 */}}
{{- define "kp.config" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if kindIs "slice" $value }}[{{ join ", " $value }}]{{ else if kindIs "float64" $value }}{{ toJson $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end }}

{{/* scheduling fields both roles share; call with the role's values */}}
{{- define "kp.scheduling" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* what the controller may do in each namespace it watches */}}
{{- define "kp.namespaceRules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [kube-pprof.dev]
  resources: [profilingpolicies]
  verbs: [get, list, watch]
- apiGroups: [kube-pprof.dev]
  resources: [profilingpolicies/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* the registry behind the API server: APIServices belong to the cluster */}}
{{- define "kp.aggregated" -}}
{{- if and .Values.registry.enabled .Values.aggregatedAPI.enabled (not .Values.watchNamespaces) -}}true{{- end -}}
{{- end }}

{{- define "kp.tlsSecret" -}}
{{- if eq .Values.registry.tls.mode "secret" -}}{{ .Values.registry.tls.secretName }}
{{- else -}}{{ include "kp.fullname" . }}-registry-tls
{{- end -}}
{{- end }}

{{/* what can be asked of profiles, as sub-resources */}}
{{- define "kp.profileQueries" -}}
[profiles/download, profiles/merge, profiles/diff, profiles/top, profiles/flamegraph, profiles/series, profiles/peers, profiles/pgo, profiles/targets, profiles/services, profiles/labels]
{{- end }}

{{- define "kp.check" -}}
{{- $tls := .Values.registry.tls -}}
{{- if and (not .Values.registry.enabled) (not .Values.controller.registryURL) -}}
{{- fail "\n\nregistry.enabled is false: say where captures go with  --set controller.registryURL=https://HOST" -}}
{{- end -}}
{{- if and .Values.registry.enabled (eq $tls.mode "secret") (not $tls.secretName) -}}
{{- fail "\n\nregistry.tls.mode is secret: name it with  --set registry.tls.secretName=NAME  (tls.crt, tls.key, ca.crt)" -}}
{{- end -}}
{{- if and .Values.registry.enabled (eq $tls.mode "certManager") (not $tls.issuerRef.name) -}}
{{- fail "\n\nregistry.tls.mode is certManager: name an issuer with  --set registry.tls.issuerRef.name=NAME" -}}
{{- end -}}
{{- if and .Values.registry.enabled $tls.clientCertificate (ne $tls.mode "selfSigned") -}}
{{- fail "\n\nregistry.tls.clientCertificate is for registry.tls.mode=selfSigned; otherwise give the flags registry-cert-file, registry-key-file and controller-client-ca-file" -}}
{{- end -}}
{{- if and (include "kp.aggregated" .) (eq $tls.mode "none") -}}
{{- fail "\n\nregistry.tls.mode is none: the API server talks TLS only, so say also  --set aggregatedAPI.enabled=false" -}}
{{- end -}}
{{- end }}
