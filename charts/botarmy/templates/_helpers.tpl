{{- /* The longest name made of it is a Service's, which may have 63 letters. */ -}}
{{- define "botarmy.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $full | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "botarmy.operator" -}}
{{ include "botarmy.fullname" . }}-operator
{{- end -}}

{{- define "botarmy.coordinator" -}}
{{ include "botarmy.fullname" . }}-coordinator
{{- end -}}

{{- define "botarmy.metrics" -}}
{{ include "botarmy.fullname" . }}-metrics
{{- end -}}

{{- /* The Secret with the key by which the operator signs certificates. */ -}}
{{- define "botarmy.authority" -}}
{{ include "botarmy.fullname" . }}-ca
{{- end -}}

{{- define "botarmy.account" -}}
{{ .Values.serviceAccount.name | default (include "botarmy.operator" .) }}
{{- end -}}

{{- define "botarmy.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}

{{- /* What never changes: a Deployment's selector cannot. */ -}}
{{- define "botarmy.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "botarmy.labels" -}}
{{ include "botarmy.selector" . }}
app.kubernetes.io/part-of: botarmy
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
