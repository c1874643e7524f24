{{- define "kp.name" -}}{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "kp.fullname" -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "kp.name" .) .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name (include "kp.name" .) | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "kp.namespace" -}}{{ default .Release.Namespace .Values.namespaceOverride }}{{- end }}

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
{{- else -}}{{ ternary "http" "https" (eq .Values.registry.tls.mode "none") }}://{{ include "kp.fullname" . }}-registry.{{ include "kp.namespace" . }}.svc:{{ .Values.registry.service.port }}
{{- end -}}
{{- end }}

{{/* the Service over the pods' metrics; Prometheus' label job is its name */}}
{{- define "kp.metricsName" -}}{{ include "kp.fullname" . }}-metrics{{- end }}

{{/* an alert's expression or text, with the matchers of this release and thresholds put in; call with (list . TEXT) */}}
{{- define "kp.alertText" -}}
{{- $root := index . 0 -}}
{{- $rule := $root.Values.metrics.prometheusRule -}}
{{- $selector := default (printf "namespace=%q,job=%q" (include "kp.namespace" $root) (include "kp.metricsName" $root)) $rule.selector -}}
{{- $text := index . 1 | replace "LEADER" "and on (instance) leader_election_master_status{SELECTOR} == 1" | replace "SELECTOR" $selector -}}
{{- range $name, $value := $rule.thresholds }}{{ $text = replace (printf "%%%s%%" $name) (toString $value) $text }}{{ end -}}
{{ $text }}
{{- end }}

{{/* flags as lines of the flat configuration file; large numbers come from YAML as floats and must not end as 1e+10. null: not set */}}
{{- define "kp.config" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ if kindIs "slice" $value }}[{{ join ", " $value }}]{{ else if kindIs "float64" $value }}{{ toJson $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
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

{{/* what the pods of both roles have in common, from serviceAccountName to volumes; call with root and component */}}
{{- define "kp.pod" -}}
{{- $role := index .root.Values .component }}
serviceAccountName: {{ include "kp.serviceAccount" . }}
automountServiceAccountToken: {{ $role.serviceAccount.automount }}
enableServiceLinks: false            # they would set variables that look like our options
terminationGracePeriodSeconds: {{ $role.terminationGracePeriodSeconds }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $role.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if kindIs "bool" $role.hostUsers }}
hostUsers: {{ $role.hostUsers }}
{{- end }}
{{- include "kp.scheduling" $role }}
{{- $spread := $role.topologySpreadConstraints }}
{{- if and (not $spread) (gt (int (dig "replicaCount" 1 $role)) 1) }}
{{- /* by revision: pods that a rollout is about to end do not count */}}
{{- $spread = list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "matchLabelKeys" (list "pod-template-hash")) }}
{{- end }}
{{- with $spread }}
topologySpreadConstraints:
{{- range . }}
{{- $ours := dict "labelSelector" (dict "matchLabels" (include "kp.selector" $ | fromYaml)) }}
- {{- merge dict . $ours | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* a probe with what the values change of it; call with (list PROBE VALUES) */}}
{{- define "kp.probe" -}}
{{- mergeOverwrite (index . 0 | fromYaml) (index . 1) | toYaml }}
{{- end }}

{{/* Roles for people, unbound: for all namespaces, or one in each that is watched. Call with root, name, labels, rules (text). */}}
{{- define "kp.role" -}}
{{- $call := . }}
{{- $labels := merge (include "kp.labels" .root | fromYaml) .labels }}
{{- range $namespace := default (list "") .root.Values.watchNamespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" (ne $namespace "") }}
metadata:
  name: {{ include "kp.fullname" $call.root }}-{{ $call.name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- ternary (include "kp.labels" $call.root | fromYaml) $labels (ne $namespace "") | toYaml | nindent 4 }}
rules:
{{ trim $call.rules }}
{{- end }}
{{- end }}

{{/* the ClusterProfilingPolicy that serves annotated pods */}}
{{- define "kp.annotatedPods" -}}
{{- $spec := dict "annotationPolicy" "Require" "selector" dict "namespaceSelector" dict }}
{{- with .Values.annotatedPods.profiles }}{{ $_ := set $spec "profiles" . }}{{ end -}}
# Serves every pod that opts in by annotation.
apiVersion: kube-pprof.dev/v1alpha1
kind: ClusterProfilingPolicy
metadata:
  name: annotated-pods
  labels: {{- include "kp.labels" . | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
    meta.helm.sh/release-name: {{ .Release.Name }}
    meta.helm.sh/release-namespace: {{ .Release.Namespace }}
spec: {{- mergeOverwrite $spec .Values.annotatedPods.spec | toYaml | nindent 2 }}
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

{{- /* a quantity as a number */}}
{{- define "kp.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (index $units (regexFind "[a-zA-Z]*$" .)) -}}
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
{{- range $role, $names := dict "controller" (list "ca-lifetime" "certificate-lifetime" "certificate-settle" "max-duration" "min-interval" "shutdown-grace") "registry" (list "await-namespaces" "max-retention" "retention" "seal-after" "shutdown-grace") -}}
{{- range $name := $names -}}
{{- $value := toString (get (index $.Values $role).config $name) -}}
{{- if regexMatch "^[1-9][0-9]*$" $value -}}
{{- fail (printf "\n\n%s.config.%s is %s: a duration needs a unit, as in  --set %s.config.%s=5d  (ms, s, m, h, d)" $role $name $value $role $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $spool := .Values.controller.spool -}}
{{- if gt (include "kp.bytes" $spool.bytes | float64) (include "kp.bytes" $spool.volumeSize | float64) -}}
{{- fail (printf "\n\ncontroller.spool.bytes is %s, and the volume it lies in has %s: the kubelet would evict the pod when it fills. Say also  --set controller.spool.volumeSize=SIZE  (a quarter larger than bytes)" $spool.bytes $spool.volumeSize) -}}
{{- end -}}
{{- end }}

{{/* rules of NetworkPolicies; what the API server's Service is translated to has no labels */}}
{{- define "kp.egressToAPI" -}}
- ports: {{- range .Values.networkPolicy.apiServer.ports }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to: {{- range . }}
  - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "kp.egressToDNS" -}}
- ports: {{- range .Values.networkPolicy.dnsPorts }}
  - {port: {{ . }}, protocol: UDP}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}

{{/* call with root, component, budget */}}
{{- define "kp.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "kp.fullname" .root }}-{{ .component }}
  namespace: {{ include "kp.namespace" .root }}
  labels: {{- include "kp.labels" .root | nindent 4 }}
spec:
  {{- if ne (toString .budget.minAvailable) "" }}
  minAvailable: {{ .budget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ .budget.maxUnavailable }}
  {{- end }}
  selector:
    matchLabels: {{- include "kp.selector" . | nindent 6 }}
{{- end }}

{{/* the policy annotated-pods that is in the cluster, nothing where that is not asked */}}
{{- define "kp.annotatedPodsLive" -}}
{{- if .Capabilities.APIVersions.Has "kube-pprof.dev/v1alpha1/ClusterProfilingPolicy" }}
{{- lookup "kube-pprof.dev/v1alpha1" "ClusterProfilingPolicy" "" "annotated-pods" | toYaml }}
{{- end }}
{{- end }}

{{- define "kp.annotatedPodsAreOurs" -}}
{{- $notes := include "kp.annotatedPodsLive" . | fromYaml | dig "metadata" "annotations" dict }}
{{- and (eq .Release.Name (dig "meta.helm.sh/release-name" "" $notes)) (eq .Release.Namespace (dig "meta.helm.sh/release-namespace" "" $notes)) }}
{{- end }}
