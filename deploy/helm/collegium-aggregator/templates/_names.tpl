{{- define "collegium.name" -}}
{{- printf "%s-aggregator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "collegium.chosen" -}}
app.kubernetes.io/name: collegium-aggregator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "collegium.labels" -}}
{{ include "collegium.chosen" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "collegium.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}
