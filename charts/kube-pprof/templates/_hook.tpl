{{- /*
A Job of the product's image that Helm runs at some time, with an account of its own that is gone afterwards. Call with root, name,
when (hooks), rules, clusterRules, containers (list of name and args).
*/}}
{{- define "kp.hook" -}}
{{- $root := .root }}
{{- $name := printf "%s-%s" (include "kp.fullname" .root) .name }}
{{- $labels := include "kp.labels" .root }}
{{- $kinds := list "ServiceAccount" }}
{{- if .rules }}{{ $kinds = concat $kinds (list "Role" "RoleBinding") }}{{ end }}
{{- if .clusterRules }}{{ $kinds = concat $kinds (list "ClusterRole" "ClusterRoleBinding") }}{{ end }}
{{- range $kind := $kinds }}
apiVersion: {{ ternary "v1" "rbac.authorization.k8s.io/v1" (eq $kind "ServiceAccount") }}
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- if not (hasPrefix "Cluster" $kind) }}
  namespace: {{ include "kp.namespace" $root }}
  {{- end }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    helm.sh/hook: {{ $.when }}
    helm.sh/hook-weight: "-5"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- if eq $kind "ServiceAccount" }}
automountServiceAccountToken: false
{{- else if eq $kind "Role" }}
rules: {{- toYaml $.rules | nindent 0 }}
{{- else if eq $kind "ClusterRole" }}
rules: {{- toYaml $.clusterRules | nindent 0 }}
{{- else }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ trimSuffix "Binding" $kind }}, name: {{ $name }}}
subjects: [{kind: ServiceAccount, name: {{ $name }}, namespace: {{ include "kp.namespace" $root }}}]
{{- end }}
---
{{- end }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  namespace: {{ include "kp.namespace" .root }}
  labels: {{- $labels | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .when }}
    helm.sh/hook-output-log-policy: hook-failed
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 240
  template:
    metadata:
      labels: {{- include "kp.selector" (dict "root" .root "component" "hook") | nindent 8 }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: true
      {{- include "kp.hookPod" .root | trim | nindent 6 }}
      containers:
      {{- range .containers }}
      - name: {{ .name }}
        args: {{- range .args }}
        - {{ . | quote }}
        {{- end }}
        {{- include "kp.hookContainer" $root | nindent 8 }}
      {{- end }}
{{- end }}

{{- /* what pods of hooks share */}}
{{- define "kp.hookPod" -}}
enableServiceLinks: false
restartPolicy: Never
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "kp.scheduling" .Values.controller }}
{{- end }}

{{- define "kp.hookContainer" -}}
image: {{ include "kp.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}
