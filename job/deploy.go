package job

import (
	"fmt"

	"github.com/kitamae/kitamae/conf"
	"github.com/kitamae/kitamae/connector"
)

// Deploy says how `kitamae deploy` runs a config in a cloud.
type Deploy struct {
	// Name names everything that is made: the stack, the task, its role. Left out, it is the file's name. At most 32 lower-case letters, digits and hyphens.
	Name string `yaml:"name" json:"name"`
	// Region is the cloud's region. Left out, it is that of the surroundings (AWS_REGION, the profile).
	Region string `yaml:"region" json:"region"`
	// Engine is what starts the shards in a cloud: `aws-batch` (an array job on Fargate, by kitamae deploy aws) or `kubernetes` (an Indexed Job, by --eject kubernetes). Left out, a run is one task.
	Engine string `yaml:"engine" json:"engine" conf:"enum=aws-batch|kubernetes"`
	// Shards is how many processes share a run's work, and limits.connections. They read tables in ranges of the key, `chunked`: there is no view over all of them. It is for sources and destinations that several machines can reach.
	Shards int `yaml:"shards" json:"shards" conf:"min=0,max=64"`
	// VPC is where tasks run. Left out, it is the source database's, or the default one where the source is outside RDS.
	VPC string `yaml:"vpc" json:"vpc"`
	// Alert is an e-mail address that is told when a run fails or the data grows old.
	Alert string `yaml:"alert" json:"alert"`
	// VCPU is how much of a processor a task has. Memory follows limits.memory; together they are the smallest size that Fargate offers for both.
	VCPU string `yaml:"vcpu" json:"vcpu" conf:"enum=0.25|0.5|1|2|4"`
	// Disk is how much a task can write down, 21GiB to 200GiB: BigQuery's spool wants the compressed size of the tables, sorting more. Left out, it is the 20 GiB that cost nothing.
	Disk conf.Bytes `yaml:"disk" json:"disk"`
	// Secrets says where variables that hold secrets come from in the cloud: `DB_PASSWORD: aws-ssm:/app/db/password`, or aws-sm:name#field. What the config itself takes from such a place needs no line here.
	Secrets map[string]string `yaml:"secrets" json:"secrets"`
}

// The engines that start shards.
const (
	EngineBatch      = "aws-batch"
	EngineKubernetes = "kubernetes"
)

// checkShards says what is wrong with dividing the work, by the key below deploy; "" where nothing is. source and destination say whether these can take part.
func (j *Job) checkShards(source, destination bool) (key, message string) {
	d := j.Deploy
	switch {
	case d.Shards == 0 && d.Engine == "":
	case d.Shards == 0:
		return "engine", d.Engine + " starts shards: say how many, shards: 2 or more"
	case d.Shards < 2:
		return "shards", "one process divides no work: at least 2"
	case d.Shards > j.Limits.Connections:
		return "shards", fmt.Sprintf("%d shards share the %d connections of limits.connections: each needs one", d.Shards, j.Limits.Connections)
	case !source && j.Source.Use != "":
		return "shards", fmt.Sprintf("a %s source can't be read by several processes: mysql and postgres can", j.Source.Use)
	case !destination && j.Destination.Use != "":
		return "shards", fmt.Sprintf("a %s destination can't be written by several machines: postgres can, bigquery with a bucket, and files in one", j.Destination.Use)
	}
	if spec, ok := j.Destination.Spec.(connector.Sharer); ok && d.Shards > 0 {
		if why := spec.NotShared(); why != "" {
			return "shards", why
		}
	}
	return "", ""
}
