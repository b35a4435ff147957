package connector

import (
	"fmt"
	"strings"
)

// String says the layout for people, "" for one that is left to the destination.
func (l Layout) String() string {
	var parts []string
	if l.Partition != "" {
		parts = append(parts, "partitioned by "+strings.TrimSuffix(l.Partition+"/"+l.Unit, "/"))
	}
	if len(l.Cluster) > 0 {
		parts = append(parts, "clustered by "+strings.Join(l.Cluster, ", "))
	}
	if l.ExpireDays > 0 {
		parts = append(parts, fmt.Sprintf("partitions go away after %d days", l.ExpireDays))
	}
	return strings.Join(parts, ", ")
}
