{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "reqtap.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "reqtap.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 56 | trimSuffix "-" }}
{{- else if contains (include "reqtap.name" .) .Release.Name }}
{{- .Release.Name | trunc 56 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "reqtap.name" .) | trunc 56 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "reqtap.selector" -}}
app.kubernetes.io/name: {{ include "reqtap.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "reqtap.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "reqtap.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "reqtap.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "reqtap.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "reqtap.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The Secret with the connection; empty: none. */}}
{{- define "reqtap.secret" -}}
{{- if .Values.connection.existingSecret }}
{{- .Values.connection.existingSecret }}
{{- else if .Values.connection.endpoint }}
{{- printf "%s-connection" (include "reqtap.fullname" .) }}
{{- end }}
{{- end }}

{{- define "reqtap.priorityClass" -}}
{{- default (include "reqtap.fullname" .) .Values.priorityClassName }}
{{- end }}

{{- define "reqtap.seccomp" -}}
type: {{ .Values.seccompProfile.type }}
{{- if eq .Values.seccompProfile.type "Localhost" }}
localhostProfile: {{ default "reqtap.json" .Values.seccompProfile.localhostProfile }}
{{- end }}
{{- end }}

{{/* Each with its reason; `reqtap doctor` says what is off without it. */}}
{{- define "reqtap.capabilities" -}}
- BPF # load programs, make maps
- PERFMON # attach them to tracepoints and user functions
- SYS_PTRACE # /proc/PID/environ, root and fd of processes of other users
- DAC_READ_SEARCH # files of other users below /proc/PID/root
- CHECKPOINT_RESTORE # /proc/PID/map_files: the runtimes, deleted ones too
{{- if .Values.oldKernel }}
- SYS_RESOURCE # before 5.11 maps count as locked memory
- SYS_ADMIN # before 5.9 there is no CHECKPOINT_RESTORE, before 5.8 neither BPF nor PERFMON, before 6.6 user functions may ask for it
{{- else if .Values.paranoidKernel }}
- SYS_ADMIN # Debian's and Ubuntu's kernels ask for it to attach to tracepoints where perf_event_paranoid is above 2
{{- end }}
{{- end }}
