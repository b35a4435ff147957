package eject_test

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kitamae/kitamae/fault"
)

const sharded = `source:
  mysql: {host: "${DB_HOST}", user: etl, password: "${DB_PASSWORD}", database: app}
destination:
  files: {dir: "s3://acme-lake/app"}
state: s3://acme-state/kitamae
limits: {connections: 4}
schedule: "0 5 * * *  Asia/Tokyo"
deploy:
  name: app
  engine: kubernetes
  shards: 3
  secrets: {DB_PASSWORD: aws-ssm:/app/db/password}
`

// cronJob is what Kubernetes' own types make of a manifest: a key they don't know is an error.
func cronJob(t *testing.T, text []byte) batchv1.CronJobSpec {
	t.Helper()
	parts := bytes.Split(text, []byte("\n---\n"))
	if len(parts) != 2 {
		t.Fatalf("%d documents", len(parts))
	}
	var config corev1.ConfigMap
	var job batchv1.CronJob
	if err := yaml.UnmarshalStrict(parts[0], &config); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(parts[1], &job); err != nil {
		t.Fatalf("%v\n%s", err, parts[1])
	}
	return job.Spec
}

// TestManifests reads both manifests as the API server would.
func TestManifests(t *testing.T) {
	one := cronJob(t, ejected(t, "kubernetes")["kubernetes.yml"]).JobTemplate.Spec
	if *one.BackoffLimit != 3 || one.CompletionMode != nil || one.Template.Spec.Containers[0].Args[0] != "run" {
		t.Errorf("one process: %+v", one)
	}
	files, err := ejectConfig(t, "kubernetes", sharded)
	if err != nil {
		t.Fatal(err)
	}
	many := cronJob(t, files["kubernetes.yml"])
	spec := many.JobTemplate.Spec
	if many.ConcurrencyPolicy != batchv1.ForbidConcurrent || *spec.CompletionMode != batchv1.IndexedCompletion || *spec.Completions != 3 || *spec.Parallelism != 3 ||
		*spec.BackoffLimitPerIndex != 3 || *spec.MaxFailedIndexes != 0 || spec.BackoffLimit != nil {
		t.Errorf("shards: %+v", spec)
	}
	rule := spec.PodFailurePolicy.Rules[0]
	if rule.Action != batchv1.PodFailurePolicyActionFailIndex || *rule.OnExitCodes.ContainerName != spec.Template.Spec.Containers[0].Name || len(rule.OnExitCodes.Values) != 5 {
		t.Errorf("who is started again: %+v", rule)
	}
	pod := spec.Template.Spec
	if pod.RestartPolicy != corev1.RestartPolicyNever || pod.Containers[0].Args[0] != "shard" {
		t.Errorf("the pod: %+v", pod)
	}
	c := pod.Containers[0]
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path.Dir(c.Args[2]) && !m.ReadOnly }) {
		t.Errorf("nothing can be spooled beside %s: %+v", c.Args[2], c.VolumeMounts)
	}
	if env := c.Env[0]; env.Name != "KITAMAE_RUN_ID" || env.ValueFrom.FieldRef.FieldPath != "metadata.labels['batch.kubernetes.io/job-name']" {
		t.Errorf("what all pods of a run share: %+v", env)
	}
	if err := yaml.UnmarshalStrict([]byte("spec: {jobTemplate: {spec: {completionmode: Indexed, complet: 3}}}"), &batchv1.CronJob{}); err == nil {
		t.Error("a mistyped key is read without an error: the test proves nothing")
	}
}

// TestEngines refuses what would start one process where shards were asked for, or shards that can't find each other.
func TestEngines(t *testing.T) {
	for _, tc := range []struct{ name, target, config, code string }{
		{"shards by systemd", "systemd", sharded, "eject.engine"},
		{"kubernetes in a stack", "cloudformation", sharded, "eject.engine"},
		{"batch in kubernetes", "kubernetes", strings.Replace(sharded, "engine: kubernetes", "engine: aws-batch", 1), "eject.engine"},
		{"batch in a stack", "cloudformation", strings.Replace(sharded, "engine: kubernetes", "engine: aws-batch", 1), ""},
		{"no bucket", "kubernetes", strings.Replace(sharded, "state: s3://acme-state/kitamae\n", "", 1), "eject.shards_state"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files, err := ejectConfig(t, tc.target, tc.config)
			if tc.code == "" {
				if err != nil || !bytes.Contains(files["template.yml"], []byte("AWS::Batch::JobDefinition")) {
					t.Errorf("no array job: %v", err)
				}
			} else if !fault.HasCode(err, tc.code) {
				t.Errorf("%v, want %s", err, tc.code)
			}
		})
	}
}
